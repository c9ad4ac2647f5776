import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { contents, convert } from '../js/helpers/qemu.js'

/** The first bytes of the disk that every project opens. */
export const expected = [...contents(65536, 14).subarray(0, 8)].join()
const image = readFileSync(convert('package.qcow2', contents(65536, 14), '-c')).toString('base64')

/** What a project has read of the disk: with the engine on the page, in a worker, and from a file that it stored. */
export interface Tour {
  readonly open: string
  readonly worker: string
  readonly opfs: string
}

/** What a project reports for which everything works. */
export const complete: Tour = { open: expected, worker: expected, opfs: expected }

/** The program of a project: `tour(image)` does what the example of the README does, in three places. */
export const program = (specifier: string) => `
import { memory, opfs, Qcow2 } from '${specifier}'

async function start(storage, options) {
  const image = await Qcow2.open(storage, options)
  const bytes = await image.read(0, 8)
  await image.close()
  return [...bytes].join()
}

async function kept(bytes) {
  await opfs.import('kept.qcow2', new Blob([bytes]), { overwrite: true })
  return start(opfs('kept.qcow2'))
}

export async function tour(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const seen = (work) => work.catch((error) => String(error))
  return {
    open: await seen(start(memory(bytes))),
    worker: await seen(start(memory(bytes), { worker: true })),
    opfs: await seen(kept(bytes)),
  }
}

globalThis.tour = tour
`

/** A page that runs a script. */
export const page = (script: string, head = '') =>
  `<!doctype html><meta charset="utf-8">${head}<body><script type="module" src="${script}"></script></body>`

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
}

/** Serves the files of a folder, to pages of other origins too. */
export class Site {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async of(folder: string, headers: Record<string, string> = {}): Promise<Site> {
    const server = createServer(({ url = '/' }, response) => {
      const path = join(folder, decodeURI(new URL(url, 'http://localhost').pathname))
      try {
        const body = readFileSync(path)
        const type = types[extname(path)] ?? 'application/octet-stream'
        response.writeHead(200, { 'access-control-allow-origin': '*', 'content-type': type, ...headers }).end(body)
      } catch {
        response.writeHead(404, { 'access-control-allow-origin': '*' }).end()
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new Site(server)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

/** Starts the browser, with arguments of its own. */
export function browse(...args: string[]): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  return chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu', ...args] })
}

/** Lets the program on a page of its own make its tour. */
export async function tourOn(browser: Browser | BrowserContext, url: string): Promise<Tour> {
  const opened = await browser.newPage()
  try {
    await opened.goto(url)
    return await tourOf(opened)
  } finally {
    await opened.close()
  }
}

/** Lets the program on a page make its tour. */
export async function tourOf(opened: Page): Promise<Tour> {
  await opened.waitForFunction(() => 'tour' in globalThis)
  return opened.evaluate((text) => (globalThis as unknown as { tour(text: string): Promise<Tour> }).tour(text), image)
}

/** The image, for programs that are no pages. */
export const base64 = image
