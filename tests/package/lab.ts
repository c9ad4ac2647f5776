import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, extname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
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
  /** How many volumes are on the disk, if the project uses `qcow2-web/files` too. */
  readonly files?: string
}

/** What a project reports for which everything works. */
export const complete: Tour = { open: expected, worker: expected, opfs: expected }

/** The same for one that uses `qcow2-web/files` too. The disk has one volume, of nothing that is known. */
export const completeWithFiles: Tour = { ...complete, files: '1' }

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

/** The same, with a look at the disk's volumes by a worker of `qcow2-web/files`. */
export const programWithFiles = `
import { volumes } from 'qcow2-web/files'
import { memory, Qcow2 } from 'qcow2-web'
import { tour as first } from './tour.js'

async function found(text) {
  const image = await Qcow2.open(memory(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))))
  const { length } = await volumes(image, { worker: true })
  await image.close()
  return String(length)
}

export async function tour(text) {
  return { ...(await first(text)), files: await found(text).catch((error) => String(error)) }
}

globalThis.tour = tour
`

/** Installs packages from npm beside the package. */
export function add(folder: string, ...packages: readonly string[]): void {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline']
  execFileSync('npm', ['install', ...quiet, ...packages], { cwd: folder, stdio: 'pipe' })
}

/** Writes the files of a project, by their paths below a folder. */
export function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** A page that runs a script. */
export const page = (script: string, head = '') =>
  `<!doctype html><meta charset="utf-8">${head}<body><script type="module" src="${script}"></script></body>`

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
}

/** Serves the files of a folder and parts of them, to pages of other origins too. */
export class Site {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async of(folder: string, headers: Record<string, string> = {}): Promise<Site> {
    const server = createServer(({ url = '/', headers: { range = '' } }, response) => {
      const path = join(folder, decodeURI(new URL(url, 'http://localhost').pathname))
      try {
        const body = readFileSync(path)
        const type = types[extname(path)] ?? 'application/octet-stream'
        const all = { 'access-control-allow-origin': '*', 'content-type': type, ...headers }
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? []
        if (first === undefined) {
          response.writeHead(200, all).end(body)
          return
        }
        const end = Math.min(Number(last), body.length - 1)
        const part = { 'content-range': `bytes ${first}-${end}/${body.length}` }
        response.writeHead(206, { ...all, ...part }).end(body.subarray(Number(first), end + 1))
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

export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
export const browserArguments = ['--headless', '--no-sandbox', '--disable-gpu']

/** Starts the browser, with arguments of its own. */
export function browse(...args: string[]): Promise<Browser> {
  return chromium.launch({ executablePath, args: [...browserArguments, ...args] })
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

/** A server of another program, which says where it listens. */
export class Program {
  readonly #child: ChildProcess

  private constructor(
    child: ChildProcess,
    /** Its address. */
    readonly url: string,
  ) {
    this.#child = child
  }

  /** Starts a program of Node, and waits until it prints its address. */
  static async start(folder: string, args: readonly string[], env: Record<string, string> = {}): Promise<Program> {
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe']
    const child = spawn(process.execPath, args, { cwd: folder, env: { ...process.env, ...env }, stdio })
    let printed = ''
    const url = await new Promise<string>((resolve, reject) => {
      const hear = (chunk: Buffer) => {
        printed += stripVTControlCharacters(String(chunk))
        const [found] = /http:\/\/(127\.0\.0\.1|localhost):\d+/.exec(printed) ?? []
        if (found) resolve(found)
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.on('exit', () => reject(new Error(`The program ended: ${printed}`)))
    })
    return new Program(child, url)
  }

  close(): void {
    this.#child.kill()
  }
}
