import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { check, contents, convert, difference, disk, file, qemuImg } from '../js/helpers/qemu.js'
import { chooseFile, download, eventually, fact, usePageLab } from './page-lab'
import {
  bytesAt,
  exported,
  giveAddress,
  leave,
  makeOver,
  openAddress,
  shownAt,
  stored,
  type,
  unlock,
  useFileServer,
} from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const bytes = contents(8 * MIB, 21)
const image = convert('remote.qcow2', bytes)
const server = useFileServer(image)

const onDisk = (offset: number) => [...bytes.subarray(offset, offset + 16)]

test('an image is opened by its address, which the page’s own address keeps', async () => {
  const page = await lab.open()
  await openAddress(page, server.url)
  expect(await fact(page, 'virtual-size')).toBe(String(bytes.length))
  expect(await bytesAt(page, 3 * MIB)).toEqual(onDisk(3 * MIB))
  await eventually(() => page.url()).toContain('at=0x300000')

  const shared = await lab.open(new URL(page.url()).hash)
  expect(await shownAt(shared, 3 * MIB)).toEqual(onDisk(3 * MIB))
  await shared.reload()
  expect(await shownAt(shared, 3 * MIB)).toEqual(onDisk(3 * MIB))
})

test('what keeps an address from being opened is said, with what to do', async () => {
  const page = await lab.open()
  await openAddress(page, 'disk.qcow2')
  await page.getByText('Write the whole address').waitFor()
  await page.keyboard.press('Escape')
  server.ranges = false
  await openAddress(page, server.url)
  await page.getByRole('heading', { name: 'The server can’t send parts of the file' }).waitFor()
  server.ranges = true
  await page.getByRole('button', { name: 'Try again' }).click()
  expect(await fact(page, 'virtual-size')).toBe(String(bytes.length))
})

test('an image over one on a server is kept in the browser, edited, and opened again', async () => {
  const page = await lab.open()
  await makeOver(page, server.url)
  await unlock(page, 'In memory')
  await type(page, 2 * MIB, 'c0ffee')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText(/^Saved to over .*\.$/).waitFor()
  await eventually(() => page.url()).toContain('image=stored')

  await page.reload()
  await giveAddress(page, server.url)
  expect(await bytesAt(page, 2 * MIB)).toEqual([0xc0, 0xff, 0xee, ...onDisk(2 * MIB).slice(3)])
  await leave(page)
  const path = await exported(page, 'over', file('over.qcow2'))
  qemuImg('rebase', '-u', '-b', image, '-F', 'qcow2', path)
  expect(check(path)).toBe('clean')
  const expected = bytes.slice()
  expected.set([0xc0, 0xff, 0xee], 2 * MIB)
  expect(Buffer.compare(disk(path), expected)).toBe(0)

  server.etag = '"2"'
  await page.getByRole('button', { name: /^over / }).click()
  await giveAddress(page, server.url)
  expect(await bytesAt(page, 2 * MIB)).toEqual([0xc0, 0xff, 0xee, ...onDisk(2 * MIB).slice(3)])
})

test('where a backing file has changed, the page asks for another, or whether to use it all the same', async () => {
  const page = await lab.open()
  await makeOver(page, server.url)
  expect(await bytesAt(page, 3 * MIB)).toEqual(onDisk(3 * MIB))
  await leave(page)
  const before = server.file
  const changed = new Uint8Array(before)
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
  Object.assign(server, { file: changed, etag: '"changed"' })
  const open = async () => {
    await page
      .getByRole('button', { name: /^over / })
      .last()
      .click()
    await giveAddress(page, server.url)
    await page.getByRole('dialog', { name: 'The backing file has changed' }).waitFor()
  }
  try {
    await open()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await open()
    await page.getByRole('button', { name: 'Use it all the same' }).click()
    expect(await bytesAt(page, 3 * MIB)).toEqual(onDisk(3 * MIB))
    await unlock(page, 'In memory')
    await leave(page)
    await open()
    const chooser = page.waitForEvent('filechooser')
    await page.getByRole('button', { name: 'Choose another file…' }).click()
    await (await chooser).setFiles(image)
    expect(await bytesAt(page, 3 * MIB)).toEqual(onDisk(3 * MIB))
  } finally {
    Object.assign(server, { file: before, etag: '"1"' })
  }
})

test('creating an image over one on a server can be cancelled, and leaves nothing', async () => {
  const page = await lab.open()
  server.crowd = Number.POSITIVE_INFINITY
  await openAddress(page, server.url, 'Make an image over it')
  const making = page.getByRole('status').filter({ hasText: 'Making the image' })
  await making.waitFor()
  await making.getByRole('button', { name: 'Cancel' }).click()
  await making.waitFor({ state: 'detached' })
  server.release()
  expect(await page.getByRole('row', { name: /^over / }).count()).toBe(0)

  // The address can be mended.
  await page.getByLabel('Address of the image').fill(`${server.url}?again`)
  await page.getByRole('button', { name: 'Make an image over it' }).click()
  await giveAddress(page, `${server.url}?again`)
  expect(await bytesAt(page, 3 * MIB)).toEqual(onDisk(3 * MIB))
})

test('opening a locked image again can be cancelled: then it is closed, with all that was changed', async () => {
  const page = await lab.open()
  await makeOver(page, server.url)
  await unlock(page, 'In the stored file')
  await type(page, 4 * MIB, 'feed')
  server.crowd = Number.POSITIVE_INFINITY
  await page.getByRole('button', { name: 'Lock', exact: true }).click()
  const locking = page.getByRole('status').filter({ hasText: 'Locking' })
  await locking.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText(/^over .* is closed\.$/).waitFor()
  server.release()
  const path = await exported(page, 'over', file('locked.qcow2'))
  qemuImg('rebase', '-u', '-b', image, '-F', 'qcow2', path)
  expect(check(path)).toBe('clean')
  expect([...disk(path).subarray(4 * MIB, 4 * MIB + 3)]).toEqual([0xfe, 0xed, bytes[4 * MIB + 2]])
})

test('the browser’s storage takes images, and gives them back', async () => {
  const page = await lab.open()
  const panel = page.getByRole('region', { name: 'In this browser' })
  await panel.getByText(/of .* are used/).waitFor()
  await chooseFile(page, 'A file to keep in this browser', image)
  await stored(page, 'remote.qcow2').waitFor()

  await stored(page, 'remote.qcow2').getByRole('button', { name: 'Rename…' }).click()
  await page.getByLabel('The new name').fill('kept.qcow2')
  await page.keyboard.press('Enter')
  await stored(page, 'kept.qcow2').waitFor()
  expect(await stored(page, 'remote.qcow2').count()).toBe(0)
  expect(readFileSync(await exported(page, 'kept.qcow2', file('kept.qcow2'))).equals(readFileSync(image))).toBe(true)

  await page.getByRole('button', { name: 'kept.qcow2' }).click()
  await unlock(page, 'In memory')
  await type(page, 4 * MIB, 'ab')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved to kept.qcow2.').waitFor()
  await page.reload()
  expect(await bytesAt(page, 4 * MIB)).toEqual([0xab, ...onDisk(4 * MIB).slice(1)])

  await leave(page)
  await stored(page, 'kept.qcow2').getByRole('button', { name: 'Delete…' }).click()
  await page.getByRole('button', { name: 'Delete for good' }).click()
  await stored(page, 'kept.qcow2').waitFor({ state: 'detached' })
})

test('what was read from a server is kept, listed and deleted', async () => {
  const page = await lab.open()
  await openAddress(page, server.url)
  await fact(page, 'virtual-size')
  await leave(page)
  await page.getByText(/Cache of images from the web: [\d.]+ [KM]iB/).waitFor()
  await page.getByRole('button', { name: 'Clear it' }).click()
  await page.getByText('Cache of images from the web').waitFor({ state: 'detached' })
})

test('directories of the browser’s storage open and close, by the keyboard too', async () => {
  const page = await lab.open()
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory()
    await (await root.getDirectoryHandle('machines', { create: true })).getDirectoryHandle('old', { create: true })
  })
  const name = 'machines/old/remote.qcow2'
  const [machines, old, row] = [stored(page, 'machines'), stored(page, 'old'), stored(page, 'remote.qcow2')]
  const button = (each: string) => page.getByRole('button', { name: each, exact: true })
  await chooseFile(page, 'A file to keep in this browser', image)
  await row.getByRole('button', { name: 'Rename…' }).click()
  await page.getByLabel('The new name').fill(name)
  await page.keyboard.press('Enter')
  await row.waitFor({ state: 'detached' })

  await button('machines').focus()
  await page.keyboard.press('ArrowRight')
  await old.waitFor()
  await page.keyboard.press('ArrowLeft')
  await old.waitFor({ state: 'detached' })
  await page.keyboard.press('Enter')
  await button('old').click()
  await row.waitFor()

  await button('remote.qcow2').click()
  await unlock(page, 'In memory')
  await type(page, 4 * MIB, 'ab')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved to remote.qcow2.').waitFor()
  await eventually(() => decodeURIComponent(page.url())).toContain(name)
  await page.reload()
  expect(await bytesAt(page, 4 * MIB)).toEqual([0xab, ...onDisk(4 * MIB).slice(1)])
  await leave(page)

  await machines.getByRole('button', { name: 'Delete…' }).click()
  await page.getByText('All that is in this directory').waitFor()
  await page.getByRole('button', { name: 'Delete for good' }).click()
  await machines.waitFor({ state: 'detached' })
})

test('an image on a server that was edited is downloaded whole', async () => {
  const page = await lab.open()
  await openAddress(page, server.url)
  await unlock(page)
  await type(page, 5 * MIB, '5a')
  const path = await download(page, file('remote-downloaded.qcow2'))
  expect(check(path)).toBe('clean')
  const expected = bytes.slice()
  expected[5 * MIB] = 0x5a
  expect(difference(disk(path), expected)).toBe(-1)
})

test('an image is kept in the browser under a name that is free', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A file to keep in this browser', image)
  await stored(page, 'remote.qcow2').waitFor()
  await chooseFile(page, 'A qcow2 image', image)
  await page.getByRole('tablist').waitFor()
  await unlock(page)
  await type(page, 100, '42')
  await page.getByRole('button', { name: 'More ways to keep it' }).click()
  await page.getByRole('menuitem', { name: 'Keep in this browser' }).click()
  await page.getByText('Kept in this browser as remote (2).qcow2.').waitFor()
  await leave(page)
  await stored(page, 'remote \\(2\\).qcow2').waitFor()
})
