import { execFileSync } from 'node:child_process'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { chromiumArguments } from './drivers/chromium'
import { patience } from './drivers/driver'
import { PageServer } from './page-server'

/** The built page behind a server of its own, and a browser; all of it is gone behind the test file. */
export class PageLab {
  url = ''
  /** Whatever the pages complained of; a test that expects a complaint takes it out. */
  readonly complaints: string[] = []
  /** Where the pages sent requests to. */
  readonly requests: string[] = []
  private readonly server = new PageServer()
  private browser: Browser | undefined

  async start(): Promise<void> {
    await this.server.start()
    this.url = this.server.url
    const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
    this.browser = await chromium.launch({ executablePath, args: chromiumArguments })
  }

  async stop(): Promise<void> {
    await this.browser?.close()
    this.server.stop()
  }

  /** A fresh page in a profile of its own. `hash` is the address's fragment. */
  async open(hash = '', options: BrowserContextOptions = {}): Promise<Page> {
    if (!this.browser) throw new Error('The lab has not started.')
    return this.openIn(await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options }), hash)
  }

  /** One more page in the profile that another has. */
  async openIn(context: BrowserContext, hash = ''): Promise<Page> {
    context.setDefaultTimeout(patience)
    const page = await context.newPage()
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text())
    })
    page.on('pageerror', (error) => this.complaints.push(String(error)))
    page.on('request', (request) => this.requests.push(request.url()))
    await page.goto(this.url + hash)
    return page
  }

  /** A page that shows the image at `path`. */
  async openImage(path: string, hash = ''): Promise<Page> {
    const page = await this.open(hash)
    await chooseFile(page, 'A qcow2 image', path)
    await page.getByRole('tablist').waitFor()
    return page
  }
}

/** Starts a lab before the tests of a file and ends it behind them. */
export function usePageLab(): PageLab {
  const lab = new PageLab()
  beforeAll(() => lab.start())
  afterAll(async () => {
    await lab.stop()
    expect(lab.complaints).toEqual([])
  })
  return lab
}

/** Waits until what `read` gives is as expected; the limit is one that only a hang reaches. */
export function eventually<T>(read: () => T | Promise<T>): ReturnType<typeof expect.poll> {
  return expect.poll(read, { timeout: patience })
}

/** Gives a file to the file button of that label, as the browser's chooser would. */
export async function chooseFile(page: Page, label: string, path: string): Promise<void> {
  await page.locator(`input[type=file][aria-label="${label}"]`).setInputFiles(path)
}

/** Saves the image that the page shows as a download, at `path`. */
export async function download(page: Page, path: string): Promise<string> {
  const [given] = await Promise.all([page.waitForEvent('download'), chooseDownload(page)])
  await given.saveAs(path)
  await page.getByText('goes to your downloads').waitFor()
  return path
}

/** Saves the image that the page shows as a download, by the menu of the button that saves. */
export async function chooseDownload(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'More ways to keep it' }).click()
  await page.getByRole('menuitem', { name: 'Download' }).click()
}

/** What the summary says of a field: its text, or the exact number of bytes where it is a size. */
export async function fact(page: Page, field: string): Promise<string> {
  const tab = page.getByRole('tab', { name: 'Overview' })
  await tab
    .or(page.locator(`[data-field="${field}"]`))
    .first()
    .waitFor()
  if (await tab.count()) await tab.click()
  const row = page.locator(`[data-field="${field}"] dd`)
  await row.waitFor()
  const data = row.locator('data')
  if (await data.count()) return (await data.getAttribute('value')) ?? ''
  return (await row.innerText()).trim()
}

/** The bytes that the hex view shows from its first row on; waits until all have arrived. */
export async function shownBytes(page: Page): Promise<{ start: bigint; bytes: number[] }> {
  const read = () =>
    page.locator('.hex-rows').evaluate((rows) => {
      const cells = [...rows.querySelectorAll<HTMLElement>('.hex-bytes [data-at]')]
      return { start: cells[0]?.dataset.at ?? '', texts: cells.map((cell) => cell.textContent ?? '') }
    })
  await eventually(async () => (await read()).texts.every((text) => /^[\da-f]{2}$/.test(text))).toBe(true)
  const { start, texts } = await read()
  return { start: BigInt(start), bytes: texts.map((text) => Number.parseInt(text, 16)) }
}

/** The bytes that QEMU reads from an image's disk. */
export function qemuRead(path: string, offset: bigint | number, length: number): number[] {
  const args = ['-r', '-f', 'qcow2', '-c', `read -v ${offset} ${length}`, path]
  const output = execFileSync('qemu-io', args, { encoding: 'utf8' })
  const rows = output.split('\n').flatMap((line) => /^[\da-f]{8,}:\s\s((?:[\da-f]{2} )+)/.exec(line)?.[1] ?? [])
  return rows.flatMap((row) =>
    row
      .trim()
      .split(' ')
      .map((byte) => Number.parseInt(byte, 16)),
  )
}

/** Clicks the cell of the map that stands for `offset`; it has to be in view. */
export async function clickCell(page: Page, offset: number): Promise<void> {
  const canvas = page.locator('canvas[data-cell]')
  const numbers = await canvas.evaluate((element) => {
    const { start, cell, columns, pitch, margin } = (element as HTMLElement).dataset
    return [start, cell, columns, pitch, margin].map(Number)
  })
  const [start = 0, cell = 1, columns = 1, pitch = 1, margin = 0] = numbers
  const index = Math.floor((offset - start) / cell)
  const x = margin + (index % columns) * pitch + pitch / 2
  const y = margin + Math.floor(index / columns) * pitch + pitch / 2
  await canvas.click({ position: { x, y } })
}
