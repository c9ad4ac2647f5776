import { closeSync, copyFileSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { create, file, json, qemuIo } from '../js/helpers/qemu.js'
import { chooseFile, clickCell, eventually, fact, qemuRead, shownBytes, usePageLab } from './page-lab'
import { samplePath } from './page-server'

interface QemuExtent {
  start: number
  length: number
  depth: number
  present: boolean
  zero: boolean
  data: boolean
  compressed: boolean
  offset?: number
}

const lab = usePageLab()

/** The kind of the explained cluster, and the place of its bytes in the file. */
const explained = (page: Page) => ({
  kind: () => page.locator('.walk h2').innerText(),
  host: () => page.locator('.walk [data-host]').getAttribute('data-host', { timeout: 5000 }).then(Number),
})

/** An image with clusters of every kind, in runs of different lengths. */
function varied(name: string): string {
  const image = create(name, '32M')
  qemuIo(image, 'write -P 1 0 64k', 'write -P 2 512k 192k', 'write -z 1M 128k', 'write -P 3 4M 1M')
  qemuIo(image, 'write -c -P 4 8M 64k', 'write -c -P 5 8256k 64k', 'discard 4160k 64k')
  return image
}

test('a click on a cell shows the host offset that qemu-img map gives', async () => {
  const image = varied('varied.qcow2')
  const page = await lab.openImage(image, '#panel=map&cell=65536')
  const { kind, host } = explained(page)
  await page.locator('canvas[data-cell="65536"]').waitFor()
  let clicked = 0
  for (const extent of json<QemuExtent[]>('map', image)) {
    await clickCell(page, extent.start)
    const unallocated = !extent.present
    const expected = unallocated ? 'Unallocated' : extent.zero ? 'Zero' : extent.compressed ? 'Compressed' : 'Data'
    await eventually(kind).toBe(expected)
    if (extent.offset !== undefined && extent.data) await eventually(host).toBe(extent.offset)
    clicked++
  }
  expect(clicked).toBeGreaterThan(8)
})

test('the walk shows the table entries as they are stored, and leads to them', async () => {
  const image = varied('walk.qcow2')
  const page = await lab.openImage(image, '#panel=map&cell=65536&at=0x80000')
  await page.getByRole('heading', { name: 'L2 entry 8' }).waitFor()
  const step = (title: string) => page.locator('.walk li', { has: page.getByRole('heading', { name: title }) })
  const entry = async (title: string) =>
    (await step(title).locator('code.value').first().innerText()).replaceAll('_', '')
  const link = step('L2 entry 8').getByRole('button').first()
  const at = Number(await link.innerText())
  const value = await entry('L2 entry 8')

  await link.click()
  await eventually(() => page.locator('.inspector h2').innerText()).toBe(`0x${at.toString(16)}`)
  expect(await page.getByRole('button', { name: 'Image file' }).getAttribute('aria-pressed')).toBe('true')
  const { start, bytes } = await shownBytes(page)
  const stored = bytes.slice(at - Number(start), at - Number(start) + 8)
  expect(`0x${Buffer.from(stored).toString('hex')}`).toBe(value)
})

test('the survey adds up to what qemu-img map reports', async () => {
  const image = varied('survey.qcow2')
  const page = await lab.openImage(image)
  const sum = (of: (extent: QemuExtent) => boolean) =>
    json<QemuExtent[]>('map', image).reduce((total, extent) => total + (of(extent) ? extent.length : 0), 0)
  const shown = (kind: string) => page.locator(`[data-kind="${kind}"] data`).getAttribute('value').then(Number)
  await eventually(() => shown('data')).toBe(sum(({ data, compressed }) => data && !compressed))
  await eventually(() => shown('compressed')).toBe(sum(({ compressed }) => compressed))
  await eventually(() => shown('zero')).toBe(sum(({ zero, present }) => zero && present))
  await eventually(() => shown('unallocated')).toBe(sum(({ present }) => !present))
})

test('zoom by buttons, keys and wheel, from the whole disk to one cluster', async () => {
  const page = await lab.open('#image=sample&panel=map&at=0x3800000')
  const cell = () => page.locator('canvas[data-cell]').getAttribute('data-cell').then(Number)
  await page.locator('.walk h2').waitFor()
  const whole = await cell()
  await page.getByRole('button', { name: 'Zoom in' }).click()
  await eventually(cell).toBe(whole / 2)
  await page.getByRole('application').focus()
  for (let size = whole / 2; size > 4096; size /= 2) await page.keyboard.press('+')
  await eventually(cell).toBe(4096)
  await page.getByText('A cell is a cluster').waitFor()
  expect(await page.getByRole('button', { name: 'Zoom in' }).isDisabled()).toBe(true)

  await page.locator('canvas[data-cell]').hover()
  await page.mouse.wheel(0, 120)
  await eventually(cell).toBe(8192)
  await page.keyboard.press('0')
  await eventually(cell).toBe(whole)
  await eventually(() => page.url()).not.toContain('cell=')
})

test('a zoomed view is surveyed by itself: the tooltip of a cluster shows its kind', async () => {
  const image = create('fine.qcow2', '1T')
  qemuIo(image, `write -P 1 ${2 ** 39} 64k`, `write -z ${2 ** 39 + 65536} 64k`)
  const page = await lab.openImage(image, `#panel=map&cell=65536&at=0x${(2 ** 39).toString(16)}`)
  const status = () => page.locator('#map-status').innerText()
  await eventually(status).toBe('0x8000000000, 64 KiB, Data')
  await page.getByRole('application').focus()
  await page.keyboard.press('ArrowRight')
  await eventually(status).toBe('0x8000010000, 64 KiB, Zero')
  await page.keyboard.press('ArrowRight')
  await eventually(status).toBe('0x8000020000, 64 KiB, Unallocated')
})

test('an endless map of a disk of 2 EiB can be stopped, and the page works meanwhile', async () => {
  const image = create('endless.qcow2', String(2n ** 61n), '-o', 'cluster_size=2M')
  // Every L1 entry leads to the same L2 table, in which every second cluster is zero: 2^39 extents.
  const descriptor = openSync(image, 'r+')
  const header = Buffer.alloc(104)
  readSync(descriptor, header, 0, header.length, 0)
  const l1Bytes = 8 * header.readUInt32BE(36)
  const l1Offset = Number(header.readBigUInt64BE(40))
  const table = 2 ** 21 * Math.ceil(fstatSync(descriptor).size / 2 ** 21)
  const entries = Buffer.alloc(2 ** 21)
  for (let at = 8; at < entries.length; at += 16) entries.writeBigUInt64BE(1n, at)
  writeSync(descriptor, entries, 0, entries.length, table)
  const pointers = Buffer.alloc(l1Bytes)
  for (let at = 0; at < pointers.length; at += 8) pointers.writeBigUInt64BE(BigInt(table), at)
  writeSync(descriptor, pointers, 0, pointers.length, l1Offset)
  closeSync(descriptor)

  const page = await lab.openImage(image)
  expect(await fact(page, 'virtual-size')).toBe(String(2n ** 61n))
  await page.getByText(/Reading the tables, \d+ %/).waitFor()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await page.getByLabel('Go to').fill('-1')
  await page.getByLabel('Go to').press('Enter')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x1fffffffffffffff')
  expect((await shownBytes(page)).bytes.at(-1)).toBe(0)

  await page.getByRole('tab', { name: 'Map' }).click()
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByText('Stopped before the end.').first().waitFor()
})

test('clusters of backing files have their own colours, and lead to the file that has them', async () => {
  copyFileSync(samplePath, file('base.qcow2'))
  const image = create('over.qcow2', '96M', '-b', 'base.qcow2', '-F', 'qcow2')
  qemuIo(image, 'write -P 9 20M 64k')
  const page = await lab.open('#panel=map&cell=65536&at=0x3800000')
  await chooseFile(page, 'A qcow2 image', image)
  await page.getByRole('dialog').waitFor()
  await chooseFile(page, 'The backing file', file('base.qcow2'))
  const { kind } = explained(page)
  await eventually(kind).toBe('From the backing file')
  expect(await page.locator('.walk').innerText()).toContain('base.qcow2')
  await page.getByLabel('Go to').fill('20M')
  await page.getByLabel('Go to').press('Enter')
  await eventually(kind).toBe('Data')

  await page.goto(`${page.url().split('#')[0]}#panel=hex&at=0x3800000`)
  const { start, bytes } = await shownBytes(page)
  expect(bytes).toEqual(qemuRead(image, start, bytes.length))
})
