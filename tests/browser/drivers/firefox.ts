import puppeteer, { type Browser as Connection, type ElementHandle } from 'puppeteer-core'
import type { Browser, Launch, Page } from './driver.js'

export const launchFirefox: Launch = async (profile) => new Firefox(profile, await connect(profile, -1))

/** Starts Firefox with room for so many KiB in all, or -1, what it finds right. */
function connect(profile: string, room: number): Promise<Connection> {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox',
    userDataDir: profile,
    extraPrefsFirefox: {
      'dom.quotaManager.temporaryStorage.fixedLimit': room,
      // Nobody is there to be asked whether the page may keep what it stores.
      'dom.storageManager.prompt.testing': true,
      'dom.storageManager.prompt.testing.allow': true,
    },
    // What takes long is for the test to end.
    protocolTimeout: 0,
  })
}

class Firefox implements Browser {
  readonly #profile: string
  #connection: Connection

  constructor(profile: string, connection: Connection) {
    this.#profile = profile
    this.#connection = connection
  }

  async open(url: string): Promise<Page> {
    const page = await this.#connection.newPage()
    const complaints: string[] = []
    page.on('console', (message) => {
      if (['error', 'warn'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await page.goto(url)
    return {
      complaints: async () => complaints,
      evaluate: (work, given) => page.evaluate(work as never, given) as never,
      async choose(selector, path) {
        const input = await page.waitForSelector(selector)
        await (input as ElementHandle<HTMLInputElement>).uploadFile(path)
      },
      close: () => page.close(),
    }
  }

  /** It reads its limits when it starts, and gives an origin a fifth of the room, but at least 10 MiB. */
  async limit(_origin: string, bytes: number): Promise<void> {
    await this.close()
    this.#connection = await connect(this.#profile, Math.ceil((bytes * 5) / 1024))
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  async kill(): Promise<void> {
    const pid = this.#connection.process()?.pid
    if (!pid) throw new Error('Firefox does not run.')
    // Its group, with all of its processes.
    process.kill(-pid, 'SIGKILL')
    // Over when what Puppeteer put into the profile is gone, too.
    await this.#connection.close()
  }
}
