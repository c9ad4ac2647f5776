import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { bootSector } from '../../www/sample/bootable.mjs'
import { convert, disk } from '../js/helpers/qemu.js'
import { FileServer } from '../js/helpers/server.js'
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

/** Loads the page again, once what the machine has written is kept. */
async function reload(page: Page): Promise<void> {
  await page.getByText('All writes are kept.').waitFor()
  await page.reload()
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

  await reload(page)
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
  await reload(page)
  await counted(page, 2)
  expect(Buffer.compare(readFileSync(path), before)).toBe(0)
  expect(disk(path)[512]).toBe(0)
  await viewer.context().close()
})

it('where the disk has changed since, it asks whether to start anew', async () => {
  const raw = new Uint8Array(1024 * 1024)
  raw.set(bootSector())
  const server = await new FileServer(readFileSync(convert('changing.qcow2', raw))).start()
  server.exposed = 'ETag, Content-Range'
  try {
    const page = await lab.open(`emulator/#image=${encodeURIComponent(server.url)}`)
    await counted(page, 1)
    await terminal(page).press('x')
    await counted(page, 2)

    /** Puts another disk at the address. */
    const deploy = (version: number) => {
      raw.fill(version, 65536)
      server.file = readFileSync(convert(`${version}.qcow2`, raw))
      server.etag = `"${version}"`
    }
    deploy(2)
    await reload(page)
    await page.getByText('The disk has changed since this machine was made.').waitFor()
    await page.getByRole('button', { name: 'Use it all the same' }).click()
    await counted(page, 3)
    await reload(page)
    await counted(page, 4)

    deploy(3)
    await reload(page)
    await page.getByRole('button', { name: 'Start anew' }).click()
    await counted(page, 1)
    await reload(page)
    await counted(page, 2)
    await page.context().close()
  } finally {
    server.stop()
  }
})

it('a page without a disk explains what to do', async () => {
  const page = await lab.open('emulator/')
  await page.getByText('Choose a disk in the viewer, and boot it there.').waitFor()
  await page.context().close()
})
