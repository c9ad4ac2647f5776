import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { file } from '../js/helpers/qemu.js'
import {
  checkEncrypted,
  createEncrypted,
  decrypted,
  ioEncrypted,
  luks,
  opens,
  passphrase,
} from '../js/helpers/secret.js'
import { chooseFile, download, fact, shownBytes, usePageLab } from './page-lab'

const lab = usePageLab()

/** A page that asks for the passphrase of an image that QEMU made. */
async function asked(name: string, options: string): Promise<Page> {
  createEncrypted(name, options)
  ioEncrypted(name, ['write -q -P 0x55 0 64k'])
  const page = await lab.open('#panel=hex')
  await chooseFile(page, 'A qcow2 image', file(name))
  await page.getByRole('dialog', { name: 'This image is encrypted' }).waitFor()
  return page
}

/** Types the passphrase. */
async function answer(page: Page, text: string): Promise<void> {
  await page.getByLabel('Passphrase').fill(text)
  await page.getByLabel('Passphrase').press('Enter')
}

test('of a LUKS image it asks for the passphrase, again where that is wrong, and shows the key slots', async () => {
  const page = await asked('luks.qcow2', luks)
  expect(await page.getByRole('dialog').innerText()).toContain('LUKS, aes-256 xts-plain64')
  await answer(page, 'open barley')
  await page.getByText('opens none of the image’s key slots').waitFor()
  await answer(page, passphrase)
  expect((await shownBytes(page)).bytes.slice(0, 4)).toEqual([0x55, 0x55, 0x55, 0x55])
  await page.getByRole('tab', { name: 'Overview' }).click()
  expect(await fact(page, 'encryption')).toBe('LUKS, aes-256 xts-plain64 sha256, 1 of 8 key slots')
  const slots = page.locator('section', { has: page.getByRole('heading', { name: 'Key slots' }) }).locator('tr')
  expect(await slots.count()).toBe(8)
  expect(await slots.nth(0).innerText()).toMatch(/^Slot 0\s+a passphrase opens it\s+[\d,]+ iterations$/)
  expect(await slots.nth(1).innerText()).toMatch(/^Slot 1\s+empty\s*$/)
})

test('an encrypted image is edited and saved without asking again', async () => {
  const page = await asked('edited.qcow2', luks)
  await answer(page, passphrase)
  await shownBytes(page)
  await page.getByRole('button', { name: 'Edit', exact: true }).click()
  await page.getByText('Editing', { exact: true }).waitFor()
  await page.getByLabel('Go to').fill('0x10')
  await page.getByLabel('Go to').press('Enter')
  await page.keyboard.type('cafe')
  const path = await download(page, file('edited-saved.qcow2'))
  checkEncrypted(path)
  expect([...decrypted(path).subarray(15, 19)]).toEqual([0x55, 0xca, 0xfe, 0x55])
})

test('for legacy AES it warns that a wrong passphrase is not detected', async () => {
  const page = await asked('aes.qcow2', 'encrypt.format=aes')
  const dialog = page.getByRole('dialog')
  expect(await dialog.innerText()).toContain('legacy AES-128')
  expect(await dialog.innerText()).toContain('can’t detect a wrong passphrase')
  await answer(page, passphrase)
  expect((await shownBytes(page)).bytes.slice(0, 2)).toEqual([0x55, 0x55])
})

test('opening it can be cancelled', async () => {
  const page = await asked('given-up.qcow2', luks)
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Try a sample' }).waitFor()
})

test('a new image is encrypted, and QEMU opens it', async () => {
  const page = await lab.open()
  await page.getByRole('button', { name: 'New image' }).click()
  await page.getByLabel('Size of the disk').fill('1M')
  await page.getByLabel('Encrypted').check()
  await page.getByLabel('Passphrase').fill('of my own')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByText('not the same the second time').waitFor()
  await page.getByLabel('Once more').fill('of my own')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('tablist').waitFor()
  expect(await fact(page, 'encryption')).toContain('1 of 8 key slots')
  const path = await download(page, file('new.qcow2'))
  expect([opens(path, 'of my own'), opens(path, 'of my OWN')]).toEqual([true, false])
})
