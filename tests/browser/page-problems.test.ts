import { execFileSync } from 'node:child_process'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { create, file, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { chooseFile, eventually, shownBytes, usePageLab } from './page-lab'
import { samplePath } from './page-server'

const lab = usePageLab()

/** Opens a file that can't be opened as an image; returns the page that says why. */
async function refused(path: string): Promise<Page> {
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', path)
  await page.getByRole('heading', { name: 'What to do' }).waitFor()
  return page
}

/** The sample with four bytes of its header changed. */
function damaged(name: string, at: number, value: number): string {
  const bytes = readFileSync(samplePath)
  bytes.writeUInt32BE(value, at)
  writeFileSync(file(name), bytes)
  return file(name)
}

/** Makes the stream of a compressed cluster nonsense: a block of the reserved type. */
function spoilCompressed(image: string, cluster: number): void {
  const bytes = readFileSync(image)
  const l2 = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(40))) & 0x00fffffffffffe00n)
  const descriptor = bytes.readBigUInt64BE(l2 + cluster * 8)
  expect(descriptor >> 62n).toBe(1n)
  const stream = Number(descriptor & ((1n << 58n) - 1n))
  bytes.fill(0xff, stream, stream + 16)
  writeFileSync(image, bytes)
}

test.each([
  ['vmdk', 'VMDK'],
  ['vdi', 'VDI'],
  ['vhdx', 'VHDX'],
  ['vpc', 'VHD'],
  ['qcow', 'qcow'],
])('an image of the format %s is named, with the command that converts it', async (format, name) => {
  qemuImg('create', '-q', '-f', format, `other.${format}`, '8M')
  const page = await refused(file(`other.${format}`))
  expect(await page.locator('.problem-title').innerText()).toContain(name)
  expect(await page.locator('pre').innerText()).toContain(`qemu-img convert -f ${format} -O qcow2 other.${format}`)
})

test('a compressed download that the page cannot decompress is refused with what to do', async () => {
  execFileSync('bzip2', ['-kf', create('compressed.qcow2', '1M')])
  const page = await refused(file('compressed.qcow2.bz2'))
  expect(await page.locator('.problem').innerText()).toContain('Decompress it first')
})

test('an empty file is reported as empty', async () => {
  writeFileSync(file('empty.qcow2'), '')
  const page = await refused(file('empty.qcow2'))
  expect(await page.locator('.problem-title').innerText()).toBe('This file is empty')
})

test('a corrupt header is reported with what is wrong, and leads to the byte', async () => {
  const page = await refused(damaged('clusters.qcow2', 20, 40))
  expect(await page.locator('.problem-title').innerText()).toBe('This image is corrupt')
  const finding = page.locator('[data-code="CORRUPT_HEADER"]', { hasText: '0x14' })
  await finding.getByRole('button', { name: 'Show byte 0x14' }).click()
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x14')
  expect((await shownBytes(page)).bytes.slice(20, 24)).toEqual([0, 0, 0, 40])
  await page.getByText('The header’s fields').click()
  await page.getByText('40 (0x28)').waitFor()
})

test('an unknown feature is reported as unsupported, not as corruption', async () => {
  const page = await refused(damaged('feature.qcow2', 72, 0x80))
  expect(await page.locator('.problem-title').innerText()).toContain('needs something that this page does not know')
  await page.locator('[data-code="UNSUPPORTED_FEATURES"]').waitFor()
})

test('from a problem one can open another image, or go back to the start', async () => {
  const page = await refused(damaged('again.qcow2', 20, 40))
  await chooseFile(page, 'Another qcow2 image', samplePath)
  await page.getByRole('tablist').waitFor()
  await page.getByRole('button', { name: 'Close the image' }).click()
  await page.getByRole('button', { name: 'Try a sample' }).waitFor()
})

test('a cluster that cannot be read is marked, and its neighbours are shown', async () => {
  const image = create('torn.qcow2', '4M', '-o', 'cluster_size=4k')
  qemuIo(image, 'write -P 0x77 0 8k', 'write -c -P 0x78 8k 4k', 'write -P 0x79 12k 4k')
  spoilCompressed(image, 2)
  const page = await lab.openImage(image, '#panel=hex&at=0x1ff0')
  await page
    .getByText(/can’t be read:/)
    .first()
    .waitFor()
  expect(await page.locator('[data-at="8176"]').first().innerText()).toBe('77')
  await page.getByLabel('Go to').fill('12k')
  await page.getByLabel('Go to').press('Enter')
  await eventually(() => page.locator('[data-at="12288"]').first().innerText()).toBe('79')
})

test('an image cut off in the middle opens as far as it can, and shows where it ends', async () => {
  const image = create('cut.qcow2', '4M')
  qemuIo(image, 'write -P 0x31 0 2M')
  truncateSync(image, 400_000)
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', image)
  // QEMU reads zeros past the end of the file, and so does the page: it must neither hang nor refuse.
  await page.getByRole('tablist').waitFor()
  await page.getByText(/The file is cut off\. 1\.\d+ MiB of it are missing/).waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByRole('tab', { name: 'Bytes' }).click()
  expect((await shownBytes(page)).bytes[0]).toBe(0x31)
})

test('a cut-off image is converted only when the person takes what is missing for zeros', async () => {
  const image = create('short.qcow2', '4M')
  qemuIo(image, 'write -P 0x31 0 2M')
  truncateSync(image, 400_000)
  const page = await lab.openImage(image)
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  const convert = dialog.getByRole('button', { name: 'Convert', exact: true })
  expect(await convert.isDisabled()).toBe(true)
  await dialog.getByLabel(/Take the .* that are missing for zeros/).check()
  await dialog.getByLabel(/raw/).check()
  await dialog.getByLabel('Saved').selectOption('In this browser')
  await convert.click()
  await dialog.getByText('Kept in this browser as short.raw').waitFor()
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    dialog.getByRole('button', { name: 'Download' }).click(),
  ])
  const bytes = readFileSync(await given.path())
  expect([bytes.length, bytes[0], bytes[2 * 2 ** 20 - 1]]).toEqual([4 * 2 ** 20, 0x31, 0])
})

test('a disk with a cluster that cannot be read converts once the person agrees to skip it', async () => {
  const image = create('holed.qcow2', '4M', '-o', 'cluster_size=4k')
  qemuIo(image, 'write -P 0x77 0 8k', 'write -c -P 0x78 8k 4k', 'write -P 0x79 12k 4k')
  spoilCompressed(image, 2)
  const page = await lab.openImage(image)
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  await dialog.getByLabel(/raw/).check()
  await dialog.getByLabel('Saved').selectOption('In this browser')
  await dialog.getByRole('button', { name: 'Convert', exact: true }).click()
  await dialog.getByText(/Converting failed/).waitFor()
  await dialog.getByLabel('Go on past what cannot be read').check()
  await dialog.getByRole('button', { name: 'Convert', exact: true }).click()
  await dialog.getByText('4 KiB could not be read, and are zeros in it.').waitFor()
})

test('an offset that is none, or beyond the end, is explained where it was typed', async () => {
  const page = await lab.open('#image=sample&panel=hex')
  const field = page.getByLabel('Go to')
  await field.fill('hello')
  await field.press('Enter')
  expect(await page.getByRole('alert').innerText()).toContain('Write an offset as 0x1f0000')
  await field.fill('1 TiB')
  expect(await page.getByRole('alert').count()).toBe(0)
  await field.press('Enter')
  expect(await page.getByRole('alert').innerText()).toBe('There are bytes from 0 to 0x5ffffff only.')
  expect(await field.getAttribute('aria-invalid')).toBe('true')
})
