import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { check, contents, convert, create, difference, disk, file, json, qemuIo } from '../js/helpers/qemu.js'
import { type Chromium, startChromium } from './drivers/chromium.js'
import { chooseDownload, chooseFile, download, eventually, shownBytes, usePageLab } from './page-lab'
import { bytesAt, exported, leave, stored, type, unlock } from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const GIB = 2 ** 30
const bytes = contents(8 * MIB, 47)
// What is written over compressed clusters frees them.
const image = convert('kept.qcow2', bytes, '-c')
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-download-'))
let browser: Chromium
let page: Page

/** Chromium on a profile on the disk, which shows an image that it keeps. */
beforeEach(async () => {
  browser = await startChromium(mkdtempSync(join(folder, 'profile-')))
  page = await openKept(image)
  return () => browser.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A tab that shows an image that the browser keeps from now on. */
async function openKept(path: string): Promise<Page> {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const tab = await lab.openIn(browser.context)
  await chooseFile(tab, 'A file to keep in this browser', path)
  await stored(tab, name).getByRole('button', { name }).click()
  return tab
}

const inPlace = (tab: Page) => unlock(tab, 'In the stored file')
const button = (tab: Page, name: string) => tab.getByRole('button', { name, exact: true })
const edited = (tab: Page) => tab.getByText('Editing in place', { exact: true })

/** The contents with what was typed. */
function changed(...typed: [offset: number, ...bytes: number[]][]): Uint8Array {
  const all = bytes.slice()
  for (const [offset, ...each] of typed) all.set(each, offset)
  return all
}

/** The image is sound, and shows what it should. */
function expectDisk(path: string, expected: Uint8Array): void {
  expect(check(path)).toBe('clean')
  expect(difference(disk(path), expected)).toBe(-1)
}

/** Begins a download that takes long, for the file has `GIB` bytes more, and waits until something of it is copied. */
async function beginLong(tab: Page): Promise<Locator> {
  await leave(tab)
  await stored(tab, 'kept.qcow2').waitFor()
  await tab.evaluate(async (length) => {
    const handle = await (await navigator.storage.getDirectory()).getFileHandle('kept.qcow2')
    const writable = await handle.createWritable({ keepExistingData: true })
    await writable.truncate(length)
    await writable.close()
  }, 16 * GIB)
  await stored(tab, 'kept.qcow2').getByRole('button', { name: 'kept.qcow2' }).click()
  await inPlace(tab)
  await type(tab, 2 * MIB, 'abba')
  tab.on('download', () => lab.complaints.push('What was given up was downloaded.'))
  await chooseDownload(tab)
  const progress = tab.getByRole('status').filter({ hasText: /Saving… \D*[1-9]/ })
  await progress.waitFor()
  return progress
}

test('what is edited in its own file is downloaded as it is by then, and is edited further', async () => {
  await inPlace(page)
  await type(page, 3 * MIB, 'c0ffee')
  const first = await download(page, file('first.qcow2'))
  expectDisk(first, changed([3 * MIB, 0xc0, 0xff, 0xee]))
  // It has been flushed for that, and what was typed can still be taken back.
  await edited(page).waitFor()
  await button(page, 'Undo').click()
  await type(page, 5 * MIB, '1234')
  const second = await download(page, file('second.qcow2'))
  const expected = changed([3 * MIB, 0xc0, 0xff], [5 * MIB, 0x12, 0x34])
  expectDisk(second, expected)

  await type(page, 6 * MIB, '56')
  await leave(page)
  expected[6 * MIB] = 0x56
  expectDisk(await exported(page, 'kept.qcow2', file('kept-after.qcow2')), expected)
})

test('what is downloaded has the snapshots, also after some were deleted, and after a disk was gone back to', async () => {
  await inPlace(page)
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  for (const name of ['one', 'two']) {
    await page.getByLabel('New snapshot').fill(name)
    await page.keyboard.press('Enter')
    await button(page, `Delete snapshot ${name}`).waitFor()
  }
  await type(page, MIB, '0102')
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  for (const [name, yes] of [
    ['Delete snapshot one', 'Delete'],
    ['Go back to snapshot two', 'Go back'],
  ] as const) {
    await button(page, name).click()
    await page.getByRole('dialog').getByRole('button', { name: yes }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  }
  await eventually(() => button(page, 'Delete snapshot one').count()).toBe(0)
  const path = await download(page, file('snapshots.qcow2'))
  expectDisk(path, bytes)
  expect(json<{ snapshots: object[] }>('info', path).snapshots).toMatchObject([{ name: 'two' }])
})

test('of an image over another one its own file is downloaded', async () => {
  const base = convert('base.qcow2', bytes)
  const over = create('over.qcow2', '8M', '-b', base, '-F', 'qcow2')
  qemuIo(over, 'write -P 0x77 1M 64k')
  const tab = await openKept(over)
  await chooseFile(tab, 'The backing file', base)
  await inPlace(tab)
  await type(tab, 4 * MIB, '99')
  const path = await download(tab, file('over-downloaded.qcow2'))
  const expected = changed([4 * MIB, 0x99])
  expected.fill(0x77, MIB, MIB + 64 * 1024)
  expectDisk(path, expected)
  expect(json<{ 'backing-filename': string }>('info', path)['backing-filename']).toBe(base)
})

test('nothing is changed while the image is copied; after a cancellation it is edited further', async () => {
  const progress = await beginLong(page)
  for (const name of ['More ways to keep it', 'Save', 'Lock', 'Undo']) {
    expect(await button(page, name).isDisabled()).toBe(true)
  }
  const before = await shownBytes(page)
  await page.locator('.hex-rows').focus()
  await page.keyboard.type('ab')
  await page.keyboard.press('Control+z')
  expect(await shownBytes(page)).toEqual(before)
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  expect(await button(page, 'Take snapshot').isDisabled()).toBe(true)
  await page.getByRole('tab', { name: 'Check' }).click()
  expect(await button(page, 'Check the image').isDisabled()).toBe(true)

  await progress.getByRole('button', { name: 'Cancel' }).click()
  await progress.waitFor({ state: 'detached' })
  await edited(page).waitFor()
  await type(page, 7 * MIB, '08')
  await button(page, 'Save').click()
  await page.getByText('Saved in kept.qcow2.').waitFor()
  await button(page, 'Lock').click()
  await button(page, 'Edit').waitFor()
  expect((await bytesAt(page, 2 * MIB)).slice(0, 2)).toEqual([0xab, 0xba])
  expect((await bytesAt(page, 7 * MIB))[0]).toBe(0x08)
})

test('another tab that takes the file over does not wait: copying the file is cancelled', async () => {
  await beginLong(page)
  const other = await lab.openIn(browser.context, '#image=stored:kept.qcow2&panel=hex')
  await button(other, 'Edit').click()
  const dialog = other.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Unlock' }).click()
  await dialog.getByRole('button', { name: 'Take over' }).click()
  await edited(other).waitFor()
  await page.getByText('kept.qcow2 is edited in another tab now. What you changed here is stored.').waitFor()
  expect((await bytesAt(other, 2 * MIB)).slice(0, 2)).toEqual([0xab, 0xba])
})

test('leaving the image cancels its copy, and it can be edited again', async () => {
  await beginLong(page)
  await leave(page)
  await stored(page, 'kept.qcow2').getByRole('button', { name: 'kept.qcow2' }).click()
  await inPlace(page)
  expect((await bytesAt(page, 2 * MIB)).slice(0, 2)).toEqual([0xab, 0xba])
  expect(await page.getByText('The image was not saved').count()).toBe(0)
})
