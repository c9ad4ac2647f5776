import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { create, disk, file, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { ext4, folder, partitioned, qcow2 } from './disk-lab'
import { eventually, usePageLab } from './page-lab'
import { goTo, unlock } from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const clipboard = { permissions: ['clipboard-read', 'clipboard-write'] }
let image: string

beforeAll(() => {
  image = create('searched.qcow2', '64M')
  const put = (name: string, at: number, bytes: Buffer) => {
    writeFileSync(file(name), Buffer.concat([bytes, Buffer.alloc(512 - bytes.length)]))
    qemuIo(image, `write -s ${file(name)} ${at} 512`)
  }
  put('one', 3 * MIB, Buffer.from('Hidden Treasure'))
  put('two', 33 * MIB, Buffer.from('hidden treasure', 'utf16le'))
})

const at = (page: Page): Promise<string> => page.locator('.inspector h2').innerText()
const hex = (offset: number): string => `0x${offset.toString(16)}`

async function searchFor(page: Page, text: string, kind?: string): Promise<void> {
  await page.locator('.hex-rows').focus()
  await page.keyboard.press('Control+f')
  if (kind) await page.getByLabel('What is searched for').selectOption({ label: kind })
  await page.getByRole('searchbox').fill(text)
  await page.getByRole('searchbox').press('Enter')
}

test('text is found in either encoding and case, onwards, back, and on from the other end', async () => {
  const page = await lab.openImage(image, '#panel=hex')
  await searchFor(page, 'HIDDEN treasure')
  await eventually(() => at(page)).toBe(hex(3 * MIB))
  expect(await page.locator('[data-selected]').getAttribute('data-selected')).toBe('15')
  expect(await violations(page)).toEqual([])
  await page.getByRole('button', { name: 'Next match' }).click()
  await eventually(() => at(page)).toBe(hex(33 * MIB))
  await page.keyboard.press('F3')
  await page.getByText('going on from the start').waitFor()
  expect(await at(page)).toBe(hex(3 * MIB))
  await page.getByRole('searchbox').press('Shift+Enter')
  await page.getByText('going on from the end').waitFor()
  expect(await at(page)).toBe(hex(33 * MIB))
  await page.getByLabel('Match case').check()
  await page.getByRole('button', { name: 'Previous match' }).click()
  await page.getByText('Not found.').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('search').waitFor({ state: 'detached' })
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('hex-rows')
})

test('bytes are found in the image file as it is stored', async () => {
  const page = await lab.openImage(image, '#panel=hex&of=image')
  await searchFor(page, '48 69 64 ?? 65 6e', 'Hex bytes')
  const host = readFileSync(image).indexOf('Hidden')
  await eventually(() => at(page)).toBe(hex(host))
  await page.getByRole('searchbox').fill('4')
  await page.getByRole('searchbox').press('Enter')
  await page.getByText('Write pairs of hexadecimal digits').waitFor()
})

test('a search shows how far it has come, and is cancelled', async () => {
  const large = create('large.qcow2', '200G', '-o', 'preallocation=metadata,cluster_size=2M')
  const page = await lab.openImage(large, '#panel=hex')
  await searchFor(page, 'nowhere')
  await page.getByRole('search').getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('What is not allocated is skipped.').waitFor()
})

test('a range is selected by the mouse and by keys, and copied in four ways', async () => {
  const page = await lab.open('', clipboard)
  await page.locator('input[type=file][aria-label="A qcow2 image"]').setInputFiles(image)
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await goTo(page, '3M')
  const copied = async (label: string) => {
    await page.getByRole('button', { name: 'Copy as' }).click()
    await page.getByRole('menuitem', { name: label }).click()
    await page.getByText(`bytes as ${label}.`).waitFor()
    return page.evaluate(() => navigator.clipboard.readText())
  }
  await page.locator(`.hex-bytes [data-at="${3 * MIB}"]`).hover()
  await page.mouse.down()
  await page.locator(`.hex-bytes [data-at="${3 * MIB + 5}"]`).hover()
  await page.mouse.up()
  expect(await copied('Hexadecimal')).toBe('48 69 64 64 65 6e')
  await page.keyboard.press('Escape')
  await page.locator('.hex-rows').focus()
  await page.keyboard.press('Home')
  for (let count = 1; count < 15; count += 1) await page.keyboard.press('Shift+ArrowRight')
  expect(await copied('Text')).toBe('Hidden Treasure')
  expect(await copied('Base64')).toBe(Buffer.from('Hidden Treasure').toString('base64'))
  expect(await copied('C array')).toMatch(/^const unsigned char data\[15\] = \{\n {2}0x48, 0x69, .*,\n.*0x65\n\};\n$/)
  await page.locator('.hex-rows').focus()
  await page.keyboard.press('Control+a')
  await page.locator(`[data-selected="${64 * MIB}"]`).waitFor()
})

test('a disk, a partition, a selection and a file are hashed, and compared with a hash that is known', async () => {
  const tree = folder('hashed', (root) => {
    mkdirSync(join(root, 'docs'))
    writeFileSync(join(root, 'docs', 'file.bin'), Buffer.alloc(300_000, 7))
  })
  const raw = partitioned('hashed.raw', [ext4('hashed.ext4', 8, tree)])
  const page = await lab.openImage(qcow2('hashed.qcow2', raw), '#panel=hex')
  const dialog = page.getByRole('dialog', { name: 'Hashes' })
  const result = (name: string) => dialog.locator(`[data-hash="${name}"] dd`).innerText()
  const digest = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest('hex')
  const whole = disk(file('hashed.qcow2'))

  await page.getByRole('button', { name: 'Hashes…' }).click()
  for (const name of ['SHA-1', 'MD5', 'CRC32']) await dialog.getByLabel(name).check()
  await dialog.getByLabel('Compare with').fill(`${digest('md5', whole).toUpperCase()}  hashed.raw`)
  await dialog.getByRole('button', { name: 'Calculate' }).click()
  await dialog.getByText('It is the same as the MD5.').waitFor()
  expect(await result('SHA-256')).toBe(digest('sha256', whole))
  expect(await result('SHA-1')).toBe(digest('sha1', whole))
  expect(await result('CRC32')).toBe(crc32(whole).toString(16).padStart(8, '0'))
  expect(await violations(page)).toEqual([])

  await dialog.getByLabel('Of').selectOption({ index: 1 })
  await dialog.getByRole('button', { name: 'Calculate' }).click()
  await dialog.getByText('None of these').waitFor()
  expect(await result('SHA-256')).toBe(digest('sha256', readFileSync(file('hashed.ext4'))))
  await dialog.getByRole('button', { name: 'Close' }).click()

  await page.locator('.hex-rows').focus()
  await page.keyboard.press('Shift+End')
  await page.getByRole('button', { name: 'Hashes…' }).click()
  await dialog.getByRole('button', { name: 'Calculate' }).click()
  await eventually(() => result('SHA-256')).toBe(digest('sha256', whole.subarray(0, 16)))
  await page.keyboard.press('Escape')

  await page.getByRole('tab', { name: 'Files' }).click()
  await page.getByText('docs', { exact: true }).dblclick()
  await page.getByText('file.bin', { exact: true }).click()
  await page.getByRole('button', { name: 'Hashes…' }).click()
  await dialog.getByRole('button', { name: 'Calculate' }).click()
  await eventually(() => result('SHA-256')).toBe(digest('sha256', Buffer.alloc(300_000, 7)))
})

test('what was undone is done again, until something else is typed', async () => {
  const page = await lab.openImage(create('redone.qcow2', '1M'), '#panel=hex')
  await unlock(page)
  await goTo(page, '0')
  const shown = () =>
    page.locator('.hex-bytes [data-at]').evaluateAll((all) => all.slice(0, 3).map((e) => e.textContent))
  await page.keyboard.type('010203')
  for (const keys of ['Control+z', 'Control+z', 'Control+y']) await page.keyboard.press(keys)
  await eventually(shown).toEqual(['01', '02', '00'])
  await page.getByRole('button', { name: 'Redo' }).click()
  await eventually(shown).toEqual(['01', '02', '03'])
  await page.getByRole('button', { name: 'Undo' }).click()
  await goTo(page, '1')
  await page.keyboard.type('aa')
  await eventually(shown).toEqual(['01', 'aa', '00'])
  expect(await page.getByRole('button', { name: 'Redo' }).isDisabled()).toBe(true)
})
