import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { create, file, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { chooseFile, download, eventually, fact, qemuRead, shownBytes, usePageLab } from './page-lab'

const lab = usePageLab()

/** The ids and names that QEMU lists. */
function listed(path: string): string[] {
  const lines = qemuImg('snapshot', '-l', path).split('\n').slice(2).filter(Boolean)
  return lines.map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))
}

/** Changes bytes of a file. */
function damage(path: string, offset: number, bytes: number[]): void {
  const all = readFileSync(path)
  all.set(bytes, offset)
  writeFileSync(path, all)
}

test('snapshots are taken, gone back to, renamed and deleted, as QEMU sees them afterwards', async () => {
  const image = create('life.qcow2', '4M')
  qemuIo(image, 'write -P 0x11 0 64k')
  qemuImg('snapshot', '-c', 'old', image)
  const page = await lab.openImage(image, '#panel=snapshots')
  await page.getByRole('button', { name: 'Edit the image' }).click()
  await page.getByLabel('New snapshot').fill('before')
  await page.getByRole('button', { name: 'Take snapshot' }).click()
  await page.getByRole('row', { name: /2 before/ }).waitFor()

  await page.getByRole('tab', { name: 'Bytes' }).click()
  await shownBytes(page)
  await page.locator('.hex-rows').focus()
  await page.keyboard.type('22')
  await page.getByText('Editing, not saved').waitFor()
  await page.getByRole('tab', { name: /Snapshots/ }).click()
  await page.getByRole('button', { name: 'Compare snapshot before with the disk' }).click()
  await page.getByText('64 KiB of the disk may differ, in 1 range').waitFor()
  await page.getByRole('button', { name: 'Rename snapshot old' }).click()
  await page.getByRole('dialog').getByLabel('Name').fill('older')
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click()
  await page.getByRole('row', { name: /1 older/ }).waitFor()
  const changed = await download(page, file('life-changed.qcow2'))
  qemuImg('check', changed)
  expect(listed(changed)).toEqual(['1 older', '2 before'])
  expect(qemuRead(changed, 0, 2)).toEqual([0x22, 0x11])

  await page.getByRole('button', { name: 'Go back to snapshot before' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click()
  await page.getByText('Editing, not saved').waitFor()
  await page.getByRole('button', { name: 'Delete snapshot older' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await eventually(() => page.getByRole('row', { name: /older/ }).count()).toBe(0)
  const back = await download(page, file('life-back.qcow2'))
  qemuImg('check', back)
  expect(listed(back)).toEqual(['2 before'])
  expect(qemuRead(back, 0, 2)).toEqual([0x11, 0x11])
})

test('a snapshot that was looked at can be deleted', async () => {
  const image = create('looked.qcow2', '1M')
  qemuImg('snapshot', '-c', 'seen', image)
  const page = await lab.openImage(image, '#panel=snapshots')
  await page.getByRole('button', { name: 'Edit the image' }).click()
  await page.getByRole('button', { name: 'Open snapshot seen' }).click()
  await page.getByText('You are looking at the snapshot').waitFor()
  await page.getByRole('button', { name: 'Delete snapshot seen' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('No snapshots').waitFor()
})

test('a sound image is found sound', async () => {
  const image = create('sound.qcow2', '4M')
  qemuIo(image, 'write -P 1 0 1M')
  const page = await lab.openImage(image, '#panel=check')
  await page.getByRole('button', { name: 'Check the image' }).click()
  await page.getByText('the image is sound').waitFor()
  expect(await page.locator('[data-number="Allocated"]').innerText()).toBe('16 of 64 clusters')
})

test('what a check finds leads to its offset, and is repaired', async () => {
  const image = create('damaged.qcow2', '8M')
  qemuIo(image, 'write -P 1 0 1M')
  // The counts of all clusters are gone, and one L2 entry with them: the corrupt bit is set.
  damage(image, 0x20000, Array<number>(64).fill(0))
  damage(image, 79, [2])
  const page = await lab.openImage(image, '#panel=check')
  await page.getByText('Marked as corrupt.').waitFor()
  await page.getByRole('button', { name: 'Check the image' }).click()
  await page.locator('[data-code="COUNT_TOO_LOW"]').first().waitFor()
  await page.getByRole('button', { name: '0x10000', exact: true }).click()
  await eventually(() => page.url()).toContain('of=image')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe('0x10000')
  await page.getByRole('tab', { name: 'Check' }).click()
  await page.getByRole('button', { name: 'Repair…' }).click()
  await page.getByRole('dialog').getByText('Nothing that can be read is lost by it.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Repair' }).click()
  await page.getByText('Repaired:').waitFor()
  const path = await download(page, file('damaged-repaired.qcow2'))
  qemuImg('check', path)
  expect(qemuRead(path, 0, 2)).toEqual([1, 1])
  expect(await page.getByText('Marked as corrupt.').count()).toBe(0)
})

test('a repair with a loss warns, and runs only after a confirmation', async () => {
  const image = create('lossy.qcow2', '8M')
  qemuIo(image, 'write -P 1 0 1M')
  damage(image, 0x40006, [0x02])
  const page = await lab.openImage(image, '#panel=check')
  await page.getByRole('button', { name: 'Check the image' }).click()
  await page.getByRole('button', { name: 'Repair…' }).click()
  await page.getByRole('dialog').getByRole('alert').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Repair all' }).click()
  await page.getByText('the image is sound').waitFor()
  qemuImg('check', await download(page, file('lossy-repaired.qcow2')))
})

test('an image whose snapshot table is corrupt opens all the same, and is checked and repaired', async () => {
  const image = create('refused.qcow2', '8M')
  qemuIo(image, 'write -P 1 0 1M')
  qemuImg('snapshot', '-c', 'kept', image)
  const table = Number(readFileSync(image).readBigUInt64BE(64))
  // More extra data than any program writes.
  damage(image, table + 38, [0x07, 0xd0])
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', image)
  expect(await fact(page, 'virtual-size')).toBe(String(8 << 20))
  await page.getByRole('tab', { name: 'Check' }).click()
  await page.getByRole('button', { name: 'Check the image' }).click()
  await page.locator('[data-code="SNAPSHOT_EXTRA_DATA"]').waitFor()
  await page.getByRole('button', { name: 'Repair…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Repair all' }).click()
  await page.getByText('the image is sound').waitFor()
  qemuImg('check', await download(page, file('refused-repaired.qcow2')))
})
