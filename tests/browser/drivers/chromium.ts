import { type BrowserContext, type CDPSession, type Browser as Connection, chromium } from 'playwright-core'
import { type Browser, type Launch, type Page, patience } from './driver.js'
import { Program } from './program.js'

/** Arguments with which Chromium runs unattended, also as root and without a network. */
export const chromiumArguments = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  // Tests see what is alive after a collection: see `release.test.ts`.
  '--js-flags=--expose-gc',
]

export const launchChromium: Launch = (profile) => startChromium(profile)

/** Starts Chromium on the profile in a folder. */
export async function startChromium(profile: string): Promise<Chromium> {
  const own = ['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank']
  const path = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const program = await Program.start(path, [...chromiumArguments, ...own], 'DevTools listening on')
  const connection = await chromium.connectOverCDP(program.address, { timeout: patience })
  const [context] = connection.contexts()
  if (!context) throw new Error('Chromium shows no profile.')
  context.setDefaultTimeout(patience)
  return new Chromium(program, connection, context)
}

export class Chromium implements Browser {
  /** The tabs of its profile. */
  readonly context: BrowserContext
  readonly #program: Program
  readonly #connection: Connection
  /** A limit holds as long as the session that set it. */
  #limits: CDPSession | undefined

  constructor(program: Program, connection: Connection, context: BrowserContext) {
    this.#program = program
    this.#connection = connection
    this.context = context
  }

  async open(url: string): Promise<Page> {
    const page = await this.context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        complaints.push(`${message.text()} ${message.location().url}`.trim())
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
    const session = await this.#connection.newBrowserCDPSession()
    await session.send('Browser.close')
    await this.#program.ended()
  }

  processorTime(): number {
    return this.#program.processorTime()
  }

  kill(): Promise<void> {
    return this.#program.kill()
  }
}
