import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { bootSector } from '../../www/sample/bootable.mjs'
import { convert, disk } from '../js/helpers/qemu.js'
import { usePageLab } from './page-lab.js'

const lab = usePageLab()

const terminal = (page: Page) => page.getByLabel('Serial console: type here')

/** Waits until the machine has printed a count, and that so many times since the page was opened. */
async function counted(page: Page, count: number, times = 1): Promise<void> {
  await page.waitForFunction(
    ({ text, times }) => {
      const value = document.querySelector<HTMLTextAreaElement>('.serial')?.value.trimEnd() ?? ''
      return value.endsWith(text) && value.split(text).length > times
    },
    { text: `Counted so far: ${count}`, times },
  )
}

it('a machine runs, is paused, saved, and goes back; and is there again after a reload', async () => {
  const page = await lab.open('emulator/#image=bootable')
  await counted(page, 1)
  await page.getByText('Hello from a disk of qcow2-web. Counted so far: 1').first().waitFor()
  await terminal(page).press('x')
  await counted(page, 2)

  await page.getByLabel('Name').fill('two')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByRole('button', { name: 'Go back' }).waitFor()
  await terminal(page).press('x')
  await counted(page, 3)

  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('button', { name: 'Pause' }).waitFor()
  await page.getByRole('button', { name: 'Go back' }).click()
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('.saved button')?.disabled)
  await terminal(page).press('y')
  await counted(page, 3, 2)
  await page.getByText('Its own image:').waitFor()

  await page.reload()
  await counted(page, 4)
  await page.getByRole('button', { name: 'Go back' }).click()
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('.saved button')?.disabled)
  await terminal(page).press('x')
  await counted(page, 3)

  await page.getByRole('button', { name: 'Discard changes…' }).click()
  await page.getByRole('button', { name: 'Discard', exact: true }).click()
  await counted(page, 1)
  expect(await page.getByRole('button', { name: 'Go back' }).count()).toBe(0)
  await page.context().close()
})

it('the viewer boots the disk that it shows, and its file stays as it is', async () => {
  const raw = new Uint8Array(1024 * 1024)
  raw.set(bootSector())
  const path = convert('own disk.qcow2', raw)
  const before = readFileSync(path)
  const viewer = await lab.openImage(path)
  const opening = viewer.waitForEvent('popup')
  await viewer.getByRole('button', { name: 'Boot' }).click()
  const page = await opening
  await counted(page, 1)
  await page.getByRole('heading', { name: 'own disk.qcow2' }).waitFor()
  // It asks the viewer again.
  await page.reload()
  await counted(page, 2)
  expect(Buffer.compare(readFileSync(path), before)).toBe(0)
  expect(disk(path)[512]).toBe(0)
  await viewer.context().close()
})

it('a page that nobody has given a disk says what to do', async () => {
  const page = await lab.open('emulator/')
  await page.getByText('Choose a disk in the viewer, and boot it there.').waitFor()
  await page.context().close()
})
