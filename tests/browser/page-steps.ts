/** What a person does with the page, in the steps that several tests take. */

import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { FileServer } from '../js/helpers/server.js'
import { eventually, shownBytes } from './page-lab'

/** A server of another origin that has the file at `path`, and lets pages read it; it ends behind the tests of a file. */
export function useFileServer(path: string): FileServer {
  const server = new FileServer(readFileSync(path))
  server.exposed = 'content-range, etag'
  server.allowed = 'range, if-range'
  beforeAll(() => server.start())
  afterAll(() => server.stop())
  return server
}

/** Goes to `offset` of the bytes, and makes ready for typing. */
export async function goTo(page: Page, offset: string): Promise<void> {
  await page.getByLabel('Go to').fill(offset)
  await page.getByLabel('Go to').press('Enter')
  await shownBytes(page)
}

/** The bytes of the disk from `offset` on, as the hex view shows them. */
export async function bytesAt(page: Page, offset: number): Promise<number[]> {
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await goTo(page, String(offset))
  return shownAt(page, offset)
}

/** The bytes that the hex view shows from `offset` on, once it is there. */
export async function shownAt(page: Page, offset: number): Promise<number[]> {
  await eventually(() => page.locator('.inspector h2').innerText()).toBe(`0x${offset.toString(16)}`)
  const { start, bytes } = await shownBytes(page)
  return bytes.slice(offset - Number(start)).slice(0, 16)
}

/** Unlocks the image; one that the browser keeps either for changes in memory or in its file. */
export async function unlock(page: Page, where?: 'In memory' | 'In the stored file'): Promise<void> {
  await page.getByRole('button', { name: 'Edit', exact: true }).click()
  if (where) {
    await page.getByRole('radio', { name: where }).check()
    await page.getByRole('dialog').getByRole('button', { name: 'Unlock' }).click()
  }
  const words = where === 'In the stored file' ? 'Editing in place' : 'Editing'
  await page.getByText(words, { exact: true }).waitFor()
}

/** Types over the bytes at an offset of the unlocked disk. */
export async function type(page: Page, offset: number, text: string): Promise<void> {
  await bytesAt(page, offset)
  await page.locator('.hex-rows').focus()
  await page.keyboard.type(text)
  await page.getByText(/Editing.*, not saved/).waitFor()
}

/** Asks for the address of an image, and goes on with the button of that name. */
export async function openAddress(page: Page, url: string, how = 'Open'): Promise<void> {
  await page.getByRole('button', { name: 'Open an address…' }).click()
  await page.getByLabel('Address of the image').fill(url)
  await page.getByRole('dialog').getByRole('button', { name: how, exact: true }).click()
}

/** Makes an image over one on a server, which the browser keeps, and opens it. */
export async function makeOver(page: Page, url: string): Promise<void> {
  await openAddress(page, url, 'Make an image over it')
  await giveAddress(page, url)
}

/** Says that the backing file is read from its server. */
export const giveAddress = (page: Page, url: string): Promise<void> =>
  page.getByRole('button', { name: `Read it from ${new URL(url).host}` }).click()

/** The row of a file among those that the browser keeps. */
export const stored = (page: Page, name: string) =>
  page.getByRole('row', { name: new RegExp(name.replace('.', '\\.')) })

/** Takes a file out of the browser's storage, to `path`. */
export async function exported(page: Page, name: string, path: string): Promise<string> {
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    stored(page, name).getByRole('button', { name: 'Export' }).click(),
  ])
  await given.saveAs(path)
  return path
}

/** Leaves the image that is shown. */
export const leave = (page: Page): Promise<void> => page.getByRole('button', { name: 'Close the image' }).click()
