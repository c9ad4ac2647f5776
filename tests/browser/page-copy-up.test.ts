import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { check, contents, convert, create, difference, disk, file, json, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { chooseFile, download, eventually, fact, usePageLab } from './page-lab'
import { exported, giveAddress, leave, makeOver, unlock, useFileServer } from './page-steps'

const lab = usePageLab()
const bytes = contents(8 * 2 ** 20, 21)
const base = convert('base.qcow2', bytes)
const server = useFileServer(base)

const button = (page: Page) => page.getByRole('button', { name: 'Copy the base' })

/** A page that shows a new image over the one on the server, kept in the browser. */
async function overServer(): Promise<Page> {
  const page = await lab.open()
  await makeOver(page, server.url)
  await button(page).waitFor()
  return page
}

/** Leaves the image, and takes it out of the browser's storage. */
async function takenOut(page: Page, path: string): Promise<string> {
  await leave(page)
  return exported(page, 'over ', path)
}

const backing = (path: string) => json<{ 'backing-filename'?: string }>('info', path)['backing-filename']

test('what a server supplies is copied into the image in the browser, which needs the server no longer', async () => {
  const page = await overServer()
  await page.getByText('It is saved as it is copied.').waitFor()
  await button(page).press('Enter')
  await page.getByText(/^The image needs .* no longer\.$/).waitFor()
  expect(await fact(page, 'without')).toMatch(/^backing file/)
  expect(await page.getByRole('region', { name: 'File' }).getByRole('listitem').count()).toBe(1)
  const before = server.requests.length
  const path = await takenOut(page, file('copied.qcow2'))
  expect([check(path), backing(path)]).toEqual(['clean', undefined])
  expect(difference(disk(path), bytes)).toBe(-1)

  await page.getByRole('button', { name: /^over / }).click()
  await page.getByRole('tablist').waitFor()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await page.locator('.hex-rows').waitFor()
  expect(server.requests.length).toBe(before)
})

test('the copying is cancelled, and done later', async () => {
  const page = await overServer()
  // Nothing that the copy asks for is answered.
  server.crowd = Number.POSITIVE_INFINITY
  await button(page).click()
  await page.getByRole('status').filter({ hasText: 'Copying' }).waitFor()
  expect(await page.getByRole('button', { name: 'Edit', exact: true }).isDisabled()).toBe(true)
  await page.getByRole('button', { name: 'Cancel' }).click()
  server.release()
  await eventually(() => button(page).isEnabled()).toBe(true)
  await unlock(page, 'In the stored file')
  await button(page).click()
  await page.getByText(/^The image needs .* no longer\.$/).waitFor()
  const path = await takenOut(page, file('resumed.qcow2'))
  expect([check(path), backing(path)]).toEqual(['clean', undefined])
  expect(difference(disk(path), bytes)).toBe(-1)
})

test('to go to another image ends it, and leaves the first one whole', async () => {
  const page = await overServer()
  server.crowd = Number.POSITIVE_INFINITY
  await button(page).click()
  await page.getByRole('status').filter({ hasText: 'Copying' }).waitFor()
  const path = await takenOut(page, file('left.qcow2'))
  server.release()
  qemuImg('rebase', '-u', '-b', base, '-F', 'qcow2', path)
  expect(check(path)).toBe('clean')
  expect(difference(disk(path), bytes)).toBe(-1)
})

test('of a file it is copied in memory, until that is saved', async () => {
  const image = create('local.qcow2', '8M', '-b', base, '-F', 'qcow2')
  qemuIo(image, 'write -P 0x77 1M 64k')
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', image)
  await chooseFile(page, 'The backing file', base)
  await page.getByText('The copy is in memory until you save it.').waitFor()
  await button(page).click()
  await page.getByText('The image needs base.qcow2 no longer. Save it to keep that.').waitFor()
  await page.getByText('Editing, not saved').waitFor()
  const path = await download(page, file('local-copied.qcow2'))
  expect([check(path), backing(path)]).toEqual(['clean', undefined])
  expect(difference(disk(path), disk(image))).toBe(-1)
})

test('what was copied in memory before it was cancelled is saved', async () => {
  qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', server.url, '-F', 'qcow2', 'remote.qcow2', '8M')
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', file('remote.qcow2'))
  await giveAddress(page, server.url)
  await button(page).waitFor()
  server.crowd = Number.POSITIVE_INFINITY
  await button(page).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  server.release()
  await eventually(() => button(page).isEnabled()).toBe(true)
  await page.getByText('Editing, not saved').waitFor()
  const path = await download(page, file('remote-saved.qcow2'))
  qemuImg('rebase', '-u', '-b', base, '-F', 'qcow2', path)
  expect(check(path)).toBe('clean')
  expect(difference(disk(path), bytes)).toBe(-1)
})

test('it warns where snapshots may need the base', async () => {
  const image = create('snapshot.qcow2', '8M', '-b', base, '-F', 'qcow2')
  qemuImg('snapshot', '-c', 'old', image)
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', image)
  await chooseFile(page, 'The backing file', base)
  await page.getByText('Its snapshots may need the base, too.').waitFor()
  expect(await button(page).isDisabled()).toBe(true)
})
