import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { check, contents, convert, disk, file, qemuImg } from '../js/helpers/qemu.js'
import { FileServer } from '../js/helpers/server.js'
import { chooseFile, eventually, fact, shownBytes, usePageLab } from './page-lab'

const lab = usePageLab()
const MIB = 2 ** 20
const bytes = contents(8 * MIB, 21)
const image = convert('remote.qcow2', bytes)
let server: FileServer

beforeAll(async () => {
  server = await new FileServer(readFileSync(image)).start()
  server.exposed = 'content-range, etag'
  server.allowed = 'range, if-range'
})
afterAll(() => server.stop())

async function openAddress(page: Page, url: string): Promise<void> {
  await page.getByRole('button', { name: 'Open an address…' }).click()
  await page.getByLabel('Address of the image').fill(url)
  await page.keyboard.press('Enter')
}

async function bytesAt(page: Page, offset: number): Promise<number[]> {
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await page.getByLabel('Go to').fill(String(offset))
  await page.getByLabel('Go to').press('Enter')
  return shownAt(page, offset)
}

/** The bytes that the hex view shows from `offset` on, once it is there. */
async function shownAt(page: Page, offset: number): Promise<number[]> {
  await eventually(() => page.locator('.inspector h2').innerText()).toBe(`0x${offset.toString(16)}`)
  const { start, bytes } = await shownBytes(page)
  return bytes.slice(offset - Number(start)).slice(0, 16)
}

/** Types over the byte at an offset. */
async function type(page: Page, offset: number, text: string): Promise<void> {
  await page.getByRole('button', { name: 'Read-only' }).click()
  await page.getByText('Editing', { exact: true }).waitFor()
  await bytesAt(page, offset)
  await page.locator('.hex-rows').focus()
  await page.keyboard.type(text)
  await page.getByText('Editing, not saved').waitFor()
}

const onDisk = (offset: number) => [...bytes.subarray(offset, offset + 16)]
const stored = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(name.replace('.', '\\.')) })

async function exported(page: Page, name: string, path: string): Promise<string> {
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    stored(page, name).getByRole('button', { name: 'Export' }).click(),
  ])
  await given.saveAs(path)
  return path
}

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
  await page.getByRole('button', { name: 'Open an address…' }).click()
  await page.getByLabel('Address of the image').fill(server.url)
  await page.getByRole('button', { name: 'Make an image over it' }).click()
  const host = new URL(server.url).host
  await page.getByRole('button', { name: `Read it from ${host}` }).click()
  await type(page, 2 * MIB, 'c0ffee')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText(/^Saved to over .*\.$/).waitFor()
  await eventually(() => page.url()).toContain('image=stored')

  await page.reload()
  await page.getByRole('button', { name: `Read it from ${host}` }).click()
  expect(await bytesAt(page, 2 * MIB)).toEqual([0xc0, 0xff, 0xee, ...onDisk(2 * MIB).slice(3)])
  await page.getByRole('button', { name: 'Close the image' }).click()
  const path = await exported(page, 'over', file('over.qcow2'))
  qemuImg('rebase', '-u', '-b', image, '-F', 'qcow2', path)
  expect(check(path)).toBe('clean')
  const expected = bytes.slice()
  expected.set([0xc0, 0xff, 0xee], 2 * MIB)
  expect(Buffer.compare(disk(path), expected)).toBe(0)

  server.etag = '"2"'
  await page.getByRole('button', { name: /^over / }).click()
  await page.getByRole('button', { name: `Read it from ${host}` }).click()
  await page.getByText('is another file than the one that the image was made over').waitFor()
  server.etag = '"1"'
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
  await type(page, 4 * MIB, 'ab')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved to kept.qcow2.').waitFor()
  await page.reload()
  expect(await bytesAt(page, 4 * MIB)).toEqual([0xab, ...onDisk(4 * MIB).slice(1)])

  await page.getByRole('button', { name: 'Close the image' }).click()
  await stored(page, 'kept.qcow2').getByRole('button', { name: 'Delete…' }).click()
  await page.getByRole('button', { name: 'Delete for good' }).click()
  await stored(page, 'kept.qcow2').waitFor({ state: 'detached' })
})

test('what was read from a server is kept, told of, and forgotten', async () => {
  const page = await lab.open()
  await openAddress(page, server.url)
  await fact(page, 'virtual-size')
  await page.getByRole('button', { name: 'Close the image' }).click()
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
  await type(page, 4 * MIB, 'ab')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved to remote.qcow2.').waitFor()
  await eventually(() => decodeURIComponent(page.url())).toContain(name)
  await page.reload()
  expect(await bytesAt(page, 4 * MIB)).toEqual([0xab, ...onDisk(4 * MIB).slice(1)])
  await page.getByRole('button', { name: 'Close the image' }).click()

  await machines.getByRole('button', { name: 'Delete…' }).click()
  await page.getByText('All that is in this directory').waitFor()
  await page.getByRole('button', { name: 'Delete for good' }).click()
  await machines.waitFor({ state: 'detached' })
})

test('an image is kept in the browser under a name that is free', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A file to keep in this browser', image)
  await stored(page, 'remote.qcow2').waitFor()
  await chooseFile(page, 'A qcow2 image', image)
  await page.getByRole('tablist').waitFor()
  await type(page, 100, '42')
  await page.getByRole('button', { name: 'Keep here' }).click()
  await page.getByText('Kept in this browser as remote (2).qcow2.').waitFor()
  await page.getByRole('button', { name: 'Close the image' }).click()
  await stored(page, 'remote \\(2\\).qcow2').waitFor()
})
