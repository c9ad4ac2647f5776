import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type BrowserContext, type CDPSession, type Browser as Connection, chromium } from 'playwright-core'
import type { Browser, Launch, Page } from './driver.js'

/** Arguments with which Chromium runs unattended, also as root and without a network. */
export const chromiumArguments = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
]

export const launchChromium: Launch = (profile) => startChromium(profile)

/** Starts Chromium on the profile in a folder. */
export async function startChromium(profile: string): Promise<Chromium> {
  const program = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const own = ['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank']
  // In a group of its own, so that all of its processes can be ended at once.
  const child = spawn(program, [...chromiumArguments, ...own], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
  const connection = await chromium.connectOverCDP(await debuggingAddress(child))
  const [context] = connection.contexts()
  if (!context) throw new Error('Chromium shows no profile.')
  return new Chromium(child, connection, context)
}

/** Where Chromium says that it can be driven. */
function debuggingAddress({ stderr }: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    stderr?.on('data', (chunk) => {
      text += chunk
      const match = /DevTools listening on (\S+)/.exec(text)
      if (match?.[1]) resolve(match[1])
    })
    stderr?.once('end', () => reject(new Error(`Chromium did not start: ${text}`)))
  })
}

export class Chromium implements Browser {
  /** The tabs of its profile. */
  readonly context: BrowserContext
  readonly #child: ChildProcess
  readonly #connection: Connection
  /** A limit holds as long as the session that set it. */
  #limits: CDPSession | undefined

  constructor(child: ChildProcess, connection: Connection, context: BrowserContext) {
    this.#child = child
    this.#connection = connection
    this.context = context
  }

  async open(url: string): Promise<Page> {
    const page = await this.context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await page.goto(url)
    return {
      complaints: async () => complaints,
      evaluate: (work, given) => page.evaluate(work as never, given) as never,
      choose: (selector, path) => page.setInputFiles(selector, path),
      close: () => page.close(),
    }
  }

  async limit(origin: string, bytes: number): Promise<void> {
    this.#limits ??= await this.context.newCDPSession(await this.context.newPage())
    await this.#limits.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: bytes })
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit')
    const session = await this.#connection.newBrowserCDPSession()
    await session.send('Browser.close')
    await ended
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit')
    if (this.#child.pid) process.kill(-this.#child.pid, 'SIGKILL')
    await ended
  }
}
