import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { launch } from './drivers/chosen.js'
import type { Browser, Page } from './drivers/driver.js'
import { eventually } from './page-lab.js'
import { PageServer } from './page-server.js'

const bytes = contents(8 * 2 ** 20, 31).fill(0x71, 0, 16)
const image = convert('viewed.qcow2', bytes, '-c')
const profile = mkdtempSync(join(tmpdir(), 'qcow2-web-viewer-'))
const server = new PageServer()
let browser: Browser

beforeAll(async () => {
  await server.start()
  browser = await launch(profile)
})
afterAll(async () => {
  await browser.close()
  server.stop()
  rmSync(profile, { recursive: true, force: true })
})

/** An attribute or the text of the first element that is found; `undefined` where there is none. */
function read(page: Page, selector: string, attribute?: string): Promise<string | null | undefined> {
  return page.evaluate(
    ([selector, attribute]) => {
      const found = document.querySelector(selector)
      return attribute ? found?.getAttribute(attribute) : found?.textContent
    },
    [selector, attribute] as const,
  )
}

it('the page shows what an image is, and its bytes', async () => {
  const page = await browser.open(`${server.url}#panel=hex`)
  const input = 'input[aria-label="A qcow2 image"]'
  await eventually(() => read(page, input)).toBe('')
  await page.choose(input, image)
  await eventually(() => read(page, '.hex-bytes [data-at="0"]')).toBe('71')
  const shown = await page.evaluate((count) => {
    const cells = [...document.querySelectorAll('.hex-bytes [data-at]')].slice(0, count)
    return cells.map((cell) => Number.parseInt(cell.textContent, 16))
  }, 64)
  expect(shown).toEqual([...bytes.subarray(0, 64)])
  await page.evaluate(() => {
    const tabs = [...document.querySelectorAll<HTMLElement>('[role=tab]')]
    tabs.find(({ textContent }) => textContent?.trim() === 'Overview')?.click()
  }, undefined)
  await eventually(() => read(page, '[data-field="virtual-size"] dd data', 'value')).toBe(String(bytes.length))
  expect(await page.complaints()).toEqual([])
  await page.close()
})
