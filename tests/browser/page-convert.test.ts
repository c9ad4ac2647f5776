import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { check, contents, convert, disk, file, json, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { usePageLab } from './page-lab'

const lab = usePageLab()
const image = convert('source.qcow2', contents(8 * 2 ** 20, 3))
qemuImg('snapshot', '-c', 'before', image)
qemuIo(image, 'write -P 0x5a 1M 64k')

/** Converts the disk that the page shows, and downloads the result. */
async function converted(page: Page, choice: RegExp, name: string): Promise<string> {
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  await dialog.getByLabel(choice).check()
  await page.keyboard.press('Enter')
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    dialog.getByRole('button', { name: 'Download' }).click(),
  ])
  await given.saveAs(file(name))
  await dialog.getByRole('button', { name: 'Close' }).click()
  return file(name)
}

test('the disk is converted to every kind of file, which the browser keeps and gives back', async () => {
  const page = await lab.openImage(image)
  for (const choice of [/zstd/, /deflate/, /not compressed/]) {
    const path = await converted(page, choice, 'converted.qcow2')
    expect(check(path)).toBe('clean')
    qemuImg('compare', '-q', image, path)
    const compressed = json<{ compressed: boolean }[]>('map', path).some((extent) => extent.compressed)
    expect(compressed).toBe(String(choice) !== '/not compressed/')
  }
  const raw = await converted(page, /raw/, 'converted.raw')
  qemuImg('compare', '-q', '-f', 'qcow2', '-F', 'raw', image, raw)
  await page.getByRole('button', { name: 'Close the image' }).click()
  const kept = page.getByRole('region', { name: 'In this browser' })
  for (const name of ['source.qcow2', 'source (2).qcow2', 'source (3).qcow2', 'source.raw']) {
    await kept.getByRole('button', { name, exact: true }).waitFor()
  }
})

test('a snapshot is converted where that is shown', async () => {
  const page = await lab.openImage(image, '#panel=snapshots')
  await page.getByRole('button', { name: 'Open snapshot before' }).click()
  await page.getByText('You are looking at the snapshot').waitFor()
  const path = await converted(page, /zstd/, 'before.qcow2')
  qemuImg('snapshot', '-a', 'before', image)
  expect(Buffer.compare(disk(path), disk(image))).toBe(0)
})
