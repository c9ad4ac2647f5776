import { readFileSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { file } from '../js/helpers/qemu.js'
import { checkEncrypted, createEncrypted, luks, opens, passphrase } from '../js/helpers/secret.js'
import { chooseFile, download, eventually, usePageLab } from './page-lab'
import { exported, leave, unlock } from './page-steps'

const lab = usePageLab()

/** A page that shows an image that QEMU made, unlocked. */
async function unlocked(path: string): Promise<Page> {
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', path)
  await page.getByLabel('Passphrase').fill(passphrase)
  await page.getByLabel('Passphrase').press('Enter')
  await page.getByText('Edit the image to add, change or erase passphrases.').waitFor()
  await panel(page).getByRole('button', { name: 'Edit the image' }).click()
  await page.getByText('Editing', { exact: true }).waitFor()
  return page
}

const panel = (page: Page) => page.getByRole('region', { name: 'Key slots' })

/** Which slots are active. */
const active = (page: Page) =>
  panel(page)
    .getByRole('row')
    .evaluateAll((rows) =>
      rows.flatMap((row, slot) => (row.textContent?.includes('a passphrase opens it') ? [slot] : [])),
    )

/** Fills in a passphrase that opens the image, the new one, and that again. */
async function fill(page: Page, known: string, added: string, again = added): Promise<void> {
  await page.getByLabel(/^(One that opens it|The old one)$/).fill(known)
  await page.getByLabel('The new one').fill(added)
  await page.getByLabel('Once more').fill(again)
  await page.keyboard.press('Enter')
}

async function erase(page: Page, slot: number): Promise<void> {
  await page.getByRole('button', { name: `Erase slot ${slot}` }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Erase' }).click()
  await page.getByText(`Slot ${slot} is erased.`).waitFor()
}

test('passphrases are added, changed and erased, and QEMU opens the image by those that it has then', async () => {
  const page = await unlocked(createEncrypted('slots.qcow2', luks))
  await page.getByRole('button', { name: 'Add a passphrase' }).press('Enter')
  await fill(page, passphrase, 'second', 'secnod')
  await page.getByText('not the same the second time').waitFor()
  await fill(page, passphrase, 'second')
  await page.getByText('The new passphrase opens the image, too.').waitFor()
  expect(await active(page)).toEqual([0, 1])

  await page.getByRole('button', { name: 'Change a passphrase' }).click()
  await fill(page, 'second', 'third')
  await page.getByText('The new passphrase opens the image in place of the old one.').waitFor()
  expect(await active(page)).toEqual([0, 2])
  await erase(page, 0)
  expect(await active(page)).toEqual([2])

  const path = await download(page, file('slots-saved.qcow2'))
  expect([passphrase, 'second', 'third'].filter((key) => opens(path, key))).toEqual(['third'])
  checkEncrypted(path, 'third')
})

test('in an image that the browser keeps they are changed in its own file, which is locked and opened by the new one', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A file to keep in this browser', createEncrypted('kept.qcow2', luks))
  await page.getByRole('button', { name: 'kept.qcow2' }).click()
  await page.getByLabel('Passphrase').fill(passphrase)
  await page.getByLabel('Passphrase').press('Enter')
  await unlock(page, 'In the stored file')
  await page.getByRole('button', { name: 'Change a passphrase' }).click()
  await fill(page, passphrase, 'second')
  await page.getByText('The new passphrase opens the image in place of the old one.', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Add a passphrase' }).click()
  await fill(page, 'second', 'third')
  await page.getByText('The new passphrase opens the image, too.', { exact: true }).waitFor()
  await erase(page, 1)
  const left = await active(page)
  await page.getByRole('button', { name: 'Lock', exact: true }).click()
  // What the page knows opens nothing any more.
  const question = page.getByRole('dialog', { name: 'This image is encrypted' }).getByLabel('Passphrase')
  await question.fill('third')
  await question.press('Enter')
  await page.getByText('Edit the image to add, change or erase passphrases.').waitFor()
  expect(await active(page)).toEqual(left)

  await leave(page)
  const path = await exported(page, 'kept.qcow2', file('kept-changed.qcow2'))
  expect([passphrase, 'second', 'third'].filter((key) => opens(path, key))).toEqual(['third'])
  checkEncrypted(path, 'third')
})

test('the last slot is kept, and why is said', async () => {
  const page = await unlocked(createEncrypted('last.qcow2', luks))
  await page.getByRole('button', { name: 'Erase slot 0' }).click()
  const dialog = page.getByRole('dialog', { name: 'Slot 0 is the only one' })
  await dialog.getByText('Add another passphrase first').waitFor()
  expect(await dialog.getByRole('button', { name: 'Erase' }).count()).toBe(0)
  await page.keyboard.press('Escape')
  expect(await active(page)).toEqual([0])
})

test('a passphrase that opens nothing adds none, and what was typed can be corrected', async () => {
  const page = await unlocked(createEncrypted('wrong.qcow2', luks))
  await page.getByRole('button', { name: 'Add a passphrase' }).click()
  await fill(page, 'Open Sesame', 'second')
  await page.getByText('opens none of the key slots. Type it again').waitFor()
  await page.getByLabel('One that opens it').fill(passphrase)
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByText('The new passphrase opens the image, too.').waitFor()
  expect(await active(page)).toEqual([0, 1])
})

test('deriving the keys can be cancelled', async () => {
  const path = createEncrypted('long.qcow2', luks)
  // A second slot, whose key takes the better part of a minute: of LUKS1 the slots are after 208 bytes, with 48 each.
  const bytes = readFileSync(path)
  const header = bytes.indexOf('LUKS')
  bytes.copy(bytes, header + 208 + 48, header + 208, header + 208 + 40)
  bytes.writeUInt32BE(50_000_000, header + 208 + 48 + 4)
  writeFileSync(path, bytes)
  const page = await unlocked(path)
  await page.getByRole('button', { name: 'Add a passphrase' }).click()
  await fill(page, 'wrong', 'second')
  await page
    .getByRole('status')
    .filter({ hasText: 'Deriving the keys' })
    .getByRole('button', { name: 'Cancel' })
    .click()
  await eventually(() => page.getByRole('status').filter({ hasText: 'Deriving' }).count()).toBe(0)
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  expect(await active(page)).toEqual([0, 1])
  await page.getByText('Editing', { exact: true }).waitFor()
})
