import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type * as Package from '../../src/js/index.js'
import { FileServer } from '../js/helpers/server.js'
import { launch } from './drivers/chosen.js'
import type { Browser, Page } from './drivers/driver.js'

const dist = join(import.meta.dirname, '../../dist')

/** A function that runs in the browser, with the built package. It can't use what is around it in the test. */
export type Work<A extends unknown[], T> = (qcow2: typeof Package, ...args: A) => T | Promise<T>

/** Runs functions, which cross as texts; `load` imports a module for them. */
const runner = `
import * as qcow2 from '/index.js'
globalThis.load = (path) => import(path)
globalThis.run = (source, args) => globalThis.eval('(' + source + ')')(qcow2, ...args)
`

/** Runs the functions that it is sent, whose errors come back as texts. */
const worker = `
import '/runner.js'
addEventListener('message', async ({ data: { source, args } }) => {
  try {
    postMessage({ value: await run(source, args) })
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) })
  }
})
`

/** What is served beside the package. */
const own: Record<string, string> = {
  // Without an icon of its own a browser asks for one, at any time, and complains where there is none.
  '/': '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/runner.js"></script>',
  '/runner.js': runner,
  '/worker.js': worker,
}

/** The built package in a browser, with a profile on the disk, as users have; all of it is gone behind the test file. */
export class StorageLab {
  url = ''
  readonly #folder = mkdtempSync(join(tmpdir(), 'qcow2-web-storage-'))
  #server: Server | undefined
  #browser: Browser | undefined

  /** Told of each request for something that is not there. */
  listen: (pathname: string, search: string) => void = () => {}
  /** The files that are served beside the package, by their paths there. */
  readonly beside = new Map<string, string>()
  /** What of the package does not come. */
  withheld: RegExp | undefined

  async start(): Promise<void> {
    await this.serve()
    await this.launch()
  }

  /** Starts the server alone. */
  async serve(): Promise<void> {
    const types: Record<string, string> = {
      '.js': 'text/javascript',
      '.mjs': 'text/javascript',
      '.wasm': 'application/wasm',
    }
    this.#server = createServer((request, response) => {
      const { pathname, search } = new URL(request.url ?? '/', 'http://localhost')
      if (request.method === 'PUT') {
        const whole = request.pipe(createWriteStream(this.file(pathname.slice(1))))
        whole.once('finish', () => response.writeHead(204).end())
        return
      }
      if (this.withheld?.test(pathname)) {
        response.destroy()
        return
      }
      const type = types[extname(pathname)] ?? 'text/html'
      try {
        const body = own[pathname] ?? readFileSync(this.beside.get(pathname) ?? join(dist, pathname))
        response.writeHead(200, { 'content-type': type }).end(body)
      } catch {
        this.listen(pathname, search)
        response.writeHead(404).end()
      }
    })
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Starts the browser on the profile, which outlives it. */
  async launch(): Promise<void> {
    this.#browser = await launch(join(this.#folder, 'profile'))
  }

  /** Lets the browser keep so many bytes more. Pages don't outlive it. */
  async limit(bytes: number): Promise<void> {
    const used = await this.onPage(async ({ estimate }) => (await estimate())?.usage ?? 0)
    await this.#running.limit?.(new URL(this.url).origin, used + bytes)
  }

  /** Ends the browser as its user does, and starts it again. */
  async restart(): Promise<void> {
    await this.#running.close()
    await this.launch()
  }

  /** How long the browser's processes have run on a processor, in seconds, where that is known. */
  processorTime(): number {
    return this.#running.processorTime?.() ?? Number.NaN
  }

  /** Ends all processes of the browser at once. */
  kill(): Promise<void> {
    return this.#running.kill()
  }

  async stop(): Promise<void> {
    await this.#browser?.close()
    this.#server?.closeAllConnections()
    this.#server?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Where a file is that the browser has put to the server under a name. */
  file(name: string): string {
    return join(this.#folder, name)
  }

  get #running(): Browser {
    if (!this.#browser) throw new Error('The lab has not started.')
    return this.#browser
  }

  /** A page of its own: the one that functions run on, or another that is served. */
  page(path = ''): Promise<Page> {
    return this.#running.open(this.url + path)
  }

  /** Runs a function on a page of its own. */
  async onPage<A extends unknown[], T>(work: Work<A, T>, ...args: A): Promise<T> {
    const page = await this.page()
    try {
      return await onPage(page, work, ...args)
    } finally {
      await page.close()
    }
  }

  /** Runs a function in a worker of a page of its own. */
  async inWorker<A extends unknown[], T>(work: Work<A, T>, ...args: A): Promise<T> {
    const page = await this.page()
    try {
      return await inWorker(page, work, ...args)
    } finally {
      await page.close()
    }
  }
}

/** Runs a function on a page. */
export function onPage<A extends unknown[], T>(page: Page, work: Work<A, T>, ...args: A): Promise<T> {
  return page.evaluate(
    ([source, given]) => (globalThis as unknown as { run(...all: unknown[]): Promise<T> }).run(source, given),
    [String(work), args] as [string, unknown[]],
  )
}

/** Runs a function in a worker of a page. */
export function inWorker<A extends unknown[], T>(page: Page, work: Work<A, T>, ...args: A): Promise<T> {
  return page.evaluate(
    ([source, given]) =>
      new Promise<T>((resolve, reject) => {
        const worker = new Worker('/worker.js', { type: 'module' })
        worker.onmessage = ({ data }) => {
          worker.terminate()
          if ('error' in data) reject(new Error(data.error))
          else resolve(data.value)
        }
        worker.onerror = ({ message }) => reject(new Error(message))
        worker.postMessage({ source, args: given })
      }),
    [String(work), args] as [string, unknown[]],
  )
}

/** Starts a lab before the tests of a file, and a server of another origin that has `file`; both end behind them. */
export function useServedLab(file: Uint8Array): { readonly lab: StorageLab; readonly server: FileServer } {
  const lab = new StorageLab()
  const server = new FileServer(file)
  beforeAll(async () => {
    server.exposed = ''
    await server.start()
    await lab.start()
  })
  afterAll(async () => {
    server.stop()
    await lab.stop()
  })
  return { lab, server }
}
