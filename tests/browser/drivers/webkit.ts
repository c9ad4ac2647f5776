import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Browser, Launch, Page } from './driver.js'

/** WebKitGTK's own small browser, on a screen that nobody sees. When it is driven it keeps nothing: it has no profile. */
export const launchWebkit: Launch = async () => {
  const screen = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  const [number] = (await once(screen.stdio[3] as NodeJS.ReadableStream, 'data')) as [Buffer]
  const port = await freePort()
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, DISPLAY: `:${String(number).trim()}` },
  })
  const address = `http://127.0.0.1:${port}`
  await answering(driver, address)
  const options = {
    binary: process.env.MINIBROWSER ?? '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser',
    args: ['--automation'],
  }
  const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': options, timeouts: { script: null } } }
  const { sessionId } = await ask<{ sessionId: string }>(`${address}/session`, { capabilities })
  const session = `${address}/session/${sessionId}`
  return new Webkit([driver, screen], session, await ask<string>(`${session}/window`))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Asks until the driver answers, for it does not say when it will. */
async function answering(driver: ChildProcess, address: string): Promise<void> {
  while (driver.exitCode === null) {
    const answer = await fetch(`${address}/status`).catch(() => undefined)
    if (answer?.ok) return
  }
  throw new Error('WebKitWebDriver did not start.')
}

/** One command of WebDriver. */
async function ask<T>(url: string, body?: object, method = body ? 'POST' : 'GET'): Promise<T> {
  const response = await fetch(url, { method, ...(body && { body: JSON.stringify(body) }) })
  const { value } = (await response.json()) as { value: T & { message?: string } }
  if (!response.ok) throw new Error(value.message ?? response.statusText)
  return value
}

class Webkit implements Browser {
  readonly #processes: ChildProcess[]
  readonly #session: string
  /** The window that is there from the start. */
  readonly #first: string
  /** A command is for the window that was switched to before, so one ends before the next begins. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(processes: ChildProcess[], session: string, first: string) {
    this.#processes = processes
    this.#session = session
    this.#first = first
  }

  async open(url: string): Promise<Page> {
    const { handle } = await this.#inTurn(async () => {
      // New ones are opened from one that is there.
      await this.#ask('window', { handle: this.#first })
      return this.#ask<{ handle: string }>('window/new', { type: 'window' })
    })
    const here = <T>(work: () => Promise<T>): Promise<T> =>
      this.#inTurn(async () => {
        await this.#ask('window', { handle })
        return work()
      })
    await here(() => this.#ask('url', { url }))
    // The driver waits for the document alone, not for its modules; nor does it tell what is said on the console.
    const script = `
      const [done] = arguments
      const complaints = (globalThis.complaints = [])
      for (const kind of ['error', 'warn']) {
        const say = console[kind]
        console[kind] = (...all) => {
          complaints.push(all.join(' '))
          say.apply(console, all)
        }
      }
      addEventListener('error', ({ message }) => complaints.push(message))
      addEventListener('unhandledrejection', ({ reason }) => complaints.push(String(reason)))
      addEventListener('securitypolicyviolation', ({ blockedURI }) => complaints.push(blockedURI))
      if (document.readyState === 'complete') done()
      else addEventListener('load', () => done())`
    await here(() => this.#ask('execute/async', { script, args: [] }))
    return {
      complaints: () => here(() => this.#call('() => globalThis.complaints', null)),
      evaluate: (work, given) => here(() => this.#call(String(work), given)),
      choose: (selector, path) =>
        here(async () => {
          const element = await this.#ask<Record<string, string>>('element', { using: 'css selector', value: selector })
          await this.#ask(`element/${Object.values(element)[0]}/value`, { text: path })
        }),
      close: () => here(() => this.#ask('window', undefined, 'DELETE')),
    }
  }

  async close(): Promise<void> {
    await this.#ask('', undefined, 'DELETE')
    await this.kill()
  }

  async kill(): Promise<void> {
    for (const child of this.#processes) {
      if (!child.pid || child.exitCode !== null || child.signalCode !== null) continue
      const ended = once(child, 'exit')
      process.kill(-child.pid, 'SIGKILL')
      await ended
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  #ask<T>(path: string, body?: object, method?: string): Promise<T> {
    return ask(path ? `${this.#session}/${path}` : this.#session, body, method)
  }

  /** What comes back is JSON, in which `undefined` and a bigint need a form of their own. */
  async #call<T>(work: string, given: unknown): Promise<T> {
    const script = `
      const [given, done] = arguments
      const replacer = (_, value) =>
        value === undefined ? { $undefined: true } : typeof value === 'bigint' ? { $bigint: String(value) } : value
      Promise.resolve(given).then(${work}).then(
        (value) => done(JSON.stringify({ value }, replacer)),
        (error) => done(JSON.stringify({ error: [error?.name, error?.message, error?.stack].join('\\n') })),
      )`
    const answer = await this.#ask<string>('execute/async', { script, args: [given ?? null] })
    const { value, error } = JSON.parse(answer, (_, value) => {
      if (value?.$undefined) return undefined
      return value?.$bigint ? BigInt(value.$bigint) : value
    })
    if (error) throw new Error(error)
    return value
  }
}
