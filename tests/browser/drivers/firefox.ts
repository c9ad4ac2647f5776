import { createProfile, Browser as Known } from '@puppeteer/browsers'
import puppeteer, { type Browser as Connection, type ElementHandle } from 'puppeteer-core'
import { type Browser, type Launch, type Page, patience } from './driver.js'
import { Program } from './program.js'

export const launchFirefox: Launch = async (profile) => new Firefox(profile, await start(profile, -1))

interface Running {
  readonly program: Program
  readonly connection: Connection
}

/**
 * Starts Firefox with room for so many KiB in all, or -1, what it finds right.
 *
 * It is not left to Puppeteer, which puts the profile's files back when the process has ended, and says nothing when
 * it has done so: whoever starts Firefox again after a kill would find them on their way.
 */
async function start(profile: string, room: number): Promise<Running> {
  await createProfile(Known.FIREFOX, {
    path: profile,
    preferences: {
      'dom.quotaManager.temporaryStorage.fixedLimit': room,
      // Nobody is there to be asked whether the page may keep what it stores.
      'dom.storageManager.prompt.testing': true,
      'dom.storageManager.prompt.testing.allow': true,
      // Puppeteer can drive pages of one process only.
      'fission.webContentIsolationStrategy': 0,
    },
  })
  const own = ['--headless', '--remote-debugging-port=0', '--profile', profile, 'about:blank']
  const path = process.env.FIREFOX ?? '/usr/bin/firefox'
  const program = await Program.start(path, own, 'WebDriver BiDi listening on')
  const connection = await puppeteer.connect({
    browserWSEndpoint: `${program.address}/session`,
    protocol: 'webDriverBiDi',
    // What takes long is for the test to end.
    protocolTimeout: 0,
  })
  return { program, connection }
}

class Firefox implements Browser {
  readonly #profile: string
  #running: Running

  constructor(profile: string, running: Running) {
    this.#profile = profile
    this.#running = running
  }

  async open(url: string): Promise<Page> {
    const page = await this.#running.connection.newPage()
    page.setDefaultTimeout(patience)
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
    this.#running = await start(this.#profile, Math.ceil((bytes * 5) / 1024))
  }

  async close(): Promise<void> {
    await this.#running.connection.close()
    await this.#running.program.ended()
  }

  kill(): Promise<void> {
    return this.#running.program.kill()
  }
}
