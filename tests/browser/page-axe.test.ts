import type { BrowserContextOptions, Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { violations } from './axe'
import { usePageLab } from './page-lab'

const lab = usePageLab()

const SCREENS: [string, BrowserContextOptions][] = [
  ['in light colours', { colorScheme: 'light' }],
  ['in dark colours on a phone', { colorScheme: 'dark', viewport: { width: 390, height: 844 } }],
]

/** The views of the sample, each with what shows that it is there. */
const PANELS: [panel: string, shown: string][] = [
  ['files', '.file-rows .file-row'],
  ['overview', '[data-partition]'],
  ['map', '.walk h2'],
  ['hex', '.hex-row'],
  ['snapshots', '.list'],
  ['check', '[role=tabpanel] .button'],
]

/** The dialogs of the start, by the button that opens each. */
const DIALOGS = ['Open an address…', 'New image…']

async function expectNone(page: Page, where: string): Promise<void> {
  expect(await violations(page), where).toEqual([])
}

test.each(SCREENS)('axe-core finds nothing on the start page and in its dialogs %s', async (_, options) => {
  const page = await lab.open('', options)
  await expectNone(page, 'start')
  for (const name of DIALOGS) {
    await page.getByRole('button', { name }).click()
    await page.getByRole('dialog').waitFor()
    await expectNone(page, name)
    await page.keyboard.press('Escape')
  }
})

test.each(SCREENS)('axe-core finds nothing in the views of an image %s', async (_, options) => {
  for (const [panel, shown] of PANELS) {
    const page = await lab.open(`#image=sample&panel=${panel}`, options)
    await page.locator(shown).first().waitFor()
    await expectNone(page, panel)
    await page.context().close()
  }
})

test.each(SCREENS)(
  'axe-core finds nothing while an image is edited, and in the dialogs over it %s',
  async (_, options) => {
    const page = await lab.open('#image=sample&panel=snapshots', options)
    await page.getByRole('button', { name: 'Convert…' }).click()
    await page.getByRole('dialog').waitFor()
    await expectNone(page, 'convert')
    await page.keyboard.press('Escape')
    await page.keyboard.press('?')
    await page.getByRole('dialog').waitFor()
    await expectNone(page, 'keyboard')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Edit', exact: true }).click()
    await page.getByText('Editing', { exact: true }).waitFor()
    await expectNone(page, 'editing')
    await page.getByRole('button', { name: 'More ways to keep it' }).click()
    await page.getByRole('menu').waitFor()
    await expectNone(page, 'ways to save')
  },
)
