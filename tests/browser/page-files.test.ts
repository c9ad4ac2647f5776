import { readFileSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { create, file, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { chooseFile, eventually, fact, shownBytes, usePageLab } from './page-lab'

const lab = usePageLab()
const MIB = 2 ** 20

/** A raw base, an image over it, and one over that; each writes a megabyte of its own. */
function chain(): { base: string; middle: string; top: string } {
  writeFileSync(file('base.raw'), Buffer.alloc(8 * MIB, 0xaa))
  const middle = create('middle.qcow2', 8 * MIB, '-b', 'base.raw', '-F', 'raw')
  qemuIo(middle, `write -P 0xbb ${2 * MIB} 1M`)
  const top = create('top.qcow2', 8 * MIB, '-b', 'middle.qcow2', '-F', 'qcow2')
  qemuIo(top, `write -P 0xcc ${4 * MIB} 1M`)
  return { base: file('base.raw'), middle, top }
}

async function firstByte(page: Page, offset: number): Promise<number | undefined> {
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await page.getByLabel('Go to').fill(String(offset))
  await page.getByLabel('Go to').press('Enter')
  await eventually(() => page.locator('.inspector h2').innerText()).toBe(`0x${offset.toString(16)}`)
  const { start, bytes } = await shownBytes(page)
  return bytes[offset - Number(start)]
}

test('the dialog asks for each file of the chain by its recorded name and format', async () => {
  const { base, middle, top } = chain()
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', top)
  const dialog = page.getByRole('dialog', { name: 'Where is the backing file?' })
  await dialog.getByText('middle.qcow2', { exact: true }).waitFor()
  expect(await dialog.innerText()).toContain('Recorded format: qcow2')
  await chooseFile(page, 'The backing file', middle)
  await dialog.getByText('base.raw', { exact: true }).waitFor()
  expect(await dialog.innerText()).toContain('Recorded format: raw, file 2 of the backing chain')
  await chooseFile(page, 'The backing file', base)

  expect(await fact(page, 'backing-file')).toBe('middle.qcow2 format qcow2')
  expect(await firstByte(page, MIB)).toBe(0xaa)
  expect(await firstByte(page, 2 * MIB)).toBe(0xbb)
  expect(await firstByte(page, 4 * MIB)).toBe(0xcc)
  await page.getByRole('button', { name: 'Backing file 2' }).click()
  expect((await shownBytes(page)).bytes[0]).toBe(0xaa)
})

test('opened without its backing file, an image shows that and reads zeros for it', async () => {
  const { top } = chain()
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', top)
  await page.getByRole('button', { name: 'Open without it' }).click()
  await page.getByText('Opened without middle.qcow2.').waitFor()
  expect(await firstByte(page, 2 * MIB)).toBe(0)
  expect(await firstByte(page, 4 * MIB)).toBe(0xcc)
})

test('cancelled, by its button or by Escape, it goes back to the start', async () => {
  const { top } = chain()
  const page = await lab.open()
  for (const cancel of [
    () => page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click(),
    () => page.keyboard.press('Escape'),
  ]) {
    await chooseFile(page, 'A qcow2 image', top)
    await page.getByRole('dialog').waitFor()
    await cancel()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Try a sample' }).waitFor()
  }
})

test('a wrong backing file is reported, and another can be chosen', async () => {
  const { base, middle, top } = chain()
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', top)
  await page.getByRole('dialog').waitFor()
  await chooseFile(page, 'The backing file', base)
  const asked = page.getByRole('dialog', { name: 'Is this the backing file?' })
  await asked.getByText('middle.qcow2').waitFor()
  expect(await violations(page)).toEqual([])
  await asked.getByRole('button', { name: 'Use it all the same' }).click()
  await page.getByRole('heading', { name: 'A file of the backing chain can’t be opened' }).waitFor()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('dialog').waitFor()
  await chooseFile(page, 'The backing file', middle)
  await page.getByRole('dialog').getByText('base.raw', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Open without it' }).click()
  expect(await firstByte(page, 2 * MIB)).toBe(0xbb)
})

test('a backing file whose disk is larger than the image is used only if that is meant', async () => {
  const { base, middle } = chain()
  const page = await lab.open()
  const top = create('smaller.qcow2', 4 * MIB, '-b', 'middle.qcow2', '-F', 'qcow2')
  await chooseFile(page, 'A qcow2 image', top)
  await page.getByRole('dialog', { name: 'Where is the backing file?' }).waitFor()
  await chooseFile(page, 'The backing file', middle)
  const asked = page.getByRole('dialog', { name: 'Is this the backing file?' })
  await asked.getByText('The disk of middle.qcow2 is larger').waitFor()
  await asked.getByRole('button', { name: 'Use it all the same' }).click()
  await chooseFile(page, 'The backing file', base)
  expect(await firstByte(page, MIB)).toBe(0xaa)
})

test('it asks for an external data file, of the image or of a backing file', async () => {
  const base = create('tables.qcow2', 8 * MIB, '-o', `data_file=${file('tables.data')}`)
  qemuIo(base, `write -P 0x5a ${MIB} 1M`)
  const top = create('over-data.qcow2', 8 * MIB, '-b', 'tables.qcow2', '-F', 'qcow2')
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', top)
  await page.getByRole('dialog', { name: 'Where is the backing file?' }).waitFor()
  await chooseFile(page, 'The backing file', base)
  const dialog = page.getByRole('dialog', { name: 'Where is the data file?' })
  await dialog.getByText(file('tables.data'), { exact: true }).waitFor()
  await chooseFile(page, 'The data file', file('tables.data'))
  expect(await firstByte(page, MIB)).toBe(0x5a)
  await page.getByRole('button', { name: 'Data file of backing file 1' }).waitFor()

  const alone = await lab.open()
  await chooseFile(alone, 'A qcow2 image', base)
  await alone.getByRole('dialog', { name: 'Where is the data file?' }).waitFor()
  await alone.getByRole('button', { name: 'Open without it' }).click()
  await alone.getByText(/^Opened without .*tables\.data\.$/).waitFor()
  expect(await firstByte(alone, MIB)).toBe(0)
  await alone.getByRole('tab', { name: 'Map' }).click()
  await alone.getByText('Read from the data file, which is not open here.').waitFor()
})

test('a file dropped on the page opens', async () => {
  const image = create('dropped.qcow2', 3 * MIB)
  const page = await lab.open()
  const bytes = [...readFileSync(image)]
  await page.evaluate((content) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([Uint8Array.from(content)], 'dropped.qcow2'))
    for (const type of ['dragover', 'drop']) {
      window.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }))
    }
  }, bytes)
  expect(await fact(page, 'virtual-size')).toBe(String(3 * MIB))
  expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('dropped.qcow2')
})

test('while another image waits for its backing file the open one stays, and stays when that is cancelled', async () => {
  const { top } = chain()
  const page = await lab.open('#image=sample')
  await page.getByRole('heading', { name: 'sample.qcow2' }).waitFor()
  await chooseFile(page, 'Another qcow2 image', top)
  await page.getByRole('dialog').waitFor()
  await page.getByText('Opening top.qcow2…').waitFor()
  await page.keyboard.press('Escape')
  await page.getByText('Opening top.qcow2…').waitFor({ state: 'detached' })
  expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('sample.qcow2')
  expect(await firstByte(page, 56 * MIB)).toBe('T'.charCodeAt(0))
})

test('after Escape in the question for a file, the focus is on the page’s first action', async () => {
  const { top } = chain()
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', top)
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Escape')
  await eventually(() => page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Choose an image…')
})
