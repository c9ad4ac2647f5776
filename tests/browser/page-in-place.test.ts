import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { check, contents, convert, create, file, json, qemuImg, qemuIo, save } from '../js/helpers/qemu.js'
import { type Chromium, startChromium } from './drivers/chromium.js'
import { chooseFile, eventually, qemuRead, usePageLab } from './page-lab'
import { bytesAt, exported, goTo, leave, stored, type, unlock } from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const bytes = contents(8 * MIB, 31)
const image = convert('kept.qcow2', bytes)
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-in-place-'))
const IN_PLACE = 'In the stored file'
const KEPT = '#image=stored:kept.qcow2&panel=hex'
let browser: Chromium

/** Chromium on a profile on the disk, which has nothing else but the image. */
beforeEach(async () => {
  browser = await startChromium(mkdtempSync(join(folder, 'profile-')))
  const page = await lab.openIn(browser.context)
  await chooseFile(page, 'A file to keep in this browser', image)
  await stored(page, 'kept.qcow2').waitFor()
  await page.close()
  return () => browser.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A tab that shows the image. */
async function open(): Promise<Page> {
  const page = await lab.openIn(browser.context, KEPT)
  await page.getByRole('tablist').waitFor()
  return page
}

const onDisk = (offset: number) => [...bytes.subarray(offset, offset + 16)]

/** The image as the browser keeps it. */
async function takenOut(page: Page, name: string): Promise<string> {
  await leave(page)
  return exported(page, 'kept.qcow2', file(name))
}

test('an image that the browser keeps is changed in its own file, and is read-only when it is locked again', async () => {
  const page = await open()
  await unlock(page, IN_PLACE)
  await type(page, 3 * MIB, 'c0ffee')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved in kept.qcow2.').waitFor()
  await page.getByText('Editing in place', { exact: true }).waitFor()
  await page.reload()
  expect(await bytesAt(page, 3 * MIB)).toEqual([0xc0, 0xff, 0xee, ...onDisk(3 * MIB).slice(3)])

  await unlock(page, IN_PLACE)
  await type(page, 4 * MIB, 'aa')
  await page.getByRole('button', { name: 'Undo' }).click()
  await type(page, 4 * MIB + 1, 'bb')
  await page.getByRole('button', { name: 'Lock', exact: true }).click()
  await page.getByRole('button', { name: 'Edit', exact: true }).waitFor()
  const locked = await bytesAt(page, 4 * MIB)
  expect(locked).toEqual([bytes[4 * MIB], 0xbb, ...onDisk(4 * MIB).slice(2)])
  await page.keyboard.type('77')
  expect(await bytesAt(page, 4 * MIB)).toEqual(locked)

  const path = await takenOut(page, 'changed.qcow2')
  expect(check(path)).toBe('clean')
  expect(qemuRead(path, 3 * MIB, 3)).toEqual([0xc0, 0xff, 0xee])
  expect(qemuRead(path, 4 * MIB, 2)).toEqual([bytes[4 * MIB], 0xbb])
})

test('snapshots are taken and gone back to in the file itself', async () => {
  const page = await open()
  await unlock(page, IN_PLACE)
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  await page.getByLabel('New snapshot').fill('before')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Delete snapshot before' }).waitFor()
  await type(page, 2 * MIB, '1234')
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  await page.getByRole('button', { name: 'Go back to snapshot before' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(await bytesAt(page, 2 * MIB)).toEqual(onDisk(2 * MIB))
  const path = await takenOut(page, 'snapshots.qcow2')
  expect(check(path)).toBe('clean')
  expect(json<{ snapshots: object[] }>('info', path).snapshots).toMatchObject([{ name: 'before' }])
  expect(qemuRead(path, 2 * MIB, 16)).toEqual(onDisk(2 * MIB))
})

test('what was saved is there when the browser is killed, and the image is sound', async () => {
  const profile = mkdtempSync(join(folder, 'killed-'))
  let killed = await startChromium(profile)
  let page = await lab.openIn(killed.context)
  await chooseFile(page, 'A file to keep in this browser', create('empty.qcow2', '64M'))
  await page.getByRole('button', { name: 'empty.qcow2' }).click()
  await unlock(page, IN_PLACE)
  await type(page, 40 * MIB, 'feed')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved in empty.qcow2.').waitFor()
  await type(page, 50 * MIB, 'dead')
  await killed.kill()

  killed = await startChromium(profile)
  page = await lab.openIn(killed.context)
  const path = await exported(page, 'empty.qcow2', file('killed.qcow2'))
  await killed.close()
  check(path)
  expect(qemuRead(path, 40 * MIB, 3)).toEqual([0xfe, 0xed, 0])
})

test('another tab that wants to change the image stays read-only, or takes it over', async () => {
  const [one, other] = [await open(), await open()]
  await unlock(one, IN_PLACE)
  await type(one, 5 * MIB, 'beef')

  const dialog = other.getByRole('dialog')
  await other.getByRole('button', { name: 'Edit', exact: true }).click()
  await dialog.getByRole('button', { name: 'Unlock' }).click()
  await dialog.getByText('Another tab is changing this file.').waitFor()
  await dialog.getByRole('button', { name: 'Stay read-only' }).click()
  await other.getByRole('button', { name: 'Edit', exact: true }).click()
  await dialog.getByRole('button', { name: 'Unlock' }).click()
  await dialog.getByRole('button', { name: 'Take over' }).click()
  await other.getByText('Editing in place', { exact: true }).waitFor()
  expect((await bytesAt(other, 5 * MIB)).slice(0, 2)).toEqual([0xbe, 0xef])
  await one.getByText('kept.qcow2 is edited in another tab now. What you changed here is stored.').waitFor()
  await one.getByRole('button', { name: 'Try a sample' }).waitFor()

  await type(other, 6 * MIB, 'cafe')
  const path = await takenOut(other, 'taken.qcow2')
  expect(check(path)).toBe('clean')
  expect(qemuRead(path, 5 * MIB, 2)).toEqual([0xbe, 0xef])
  expect(qemuRead(path, 6 * MIB, 2)).toEqual([0xca, 0xfe])
})

test('a tab that only reads the image learns when another one has changed it, and opens it again', async () => {
  const [one, other] = [await open(), await open()]
  await unlock(one, IN_PLACE)
  await type(one, 5 * MIB, 'beef')
  await one.getByRole('button', { name: 'Save', exact: true }).click()
  await one.getByText('Saved in kept.qcow2.').waitFor()
  await other.getByLabel('Go to').fill('5M')
  await other.getByLabel('Go to').press('Enter')
  await other.getByText('Changed in another tab.').waitFor()
  await other.getByRole('button', { name: 'Open it again' }).click()
  await other.getByText('Changed in another tab.').waitFor({ state: 'detached' })
  expect((await bytesAt(other, 5 * MIB)).slice(0, 2)).toEqual([0xbe, 0xef])
})

test('changes in memory are discarded when the image is locked, and the stored file stays as it was', async () => {
  const page = await open()
  await unlock(page, 'In memory')
  await type(page, MIB, '0102')
  await page.getByRole('button', { name: 'Lock', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Discard the changes' }).click()
  await page.getByRole('button', { name: 'Edit', exact: true }).waitFor()
  expect(await bytesAt(page, MIB)).toEqual(onDisk(MIB))
  const path = await takenOut(page, 'discarded.qcow2')
  expect(readFileSync(path).equals(readFileSync(image))).toBe(true)
})

test('a page that is hidden makes durable what was changed in place', async () => {
  const page = await open()
  await unlock(page, IN_PLACE)
  await type(page, 7 * MIB, '99')
  // As a browser does when another tab is shown; one without a window shows all of them.
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden' })
    document.dispatchEvent(new Event('visibilitychange'))
  })
  await page.getByText('Editing in place', { exact: true }).waitFor()
  // What was typed can still be taken back.
  expect(await page.getByRole('button', { name: 'Undo' }).isEnabled()).toBe(true)
})

test('an image is repaired in its own file', async () => {
  const damaged = create('damaged.qcow2', '8M')
  qemuIo(damaged, 'write -P 1 0 4M')
  const held = readFileSync(damaged)
  // The counts of all clusters are gone.
  held.fill(0, 0x20000, 0x20100)
  const page = await lab.openIn(browser.context)
  await chooseFile(page, 'A file to keep in this browser', save('damaged.qcow2', held))
  await page.getByRole('button', { name: 'damaged.qcow2' }).click()
  await page.getByRole('tab', { name: 'Check' }).click()
  await page.getByRole('button', { name: 'Check the image' }).click()
  await page.getByRole('button', { name: 'Repair…' }).click()
  await page.getByRole('dialog').getByRole('radio', { name: IN_PLACE }).check()
  await page.getByRole('dialog').getByRole('button', { name: 'Repair' }).click()
  await page.getByText('the image is sound').waitFor()
  await page.getByRole('button', { name: 'Edit', exact: true }).waitFor()
  await leave(page)
  const path = await exported(page, 'damaged.qcow2', file('damaged-repaired.qcow2'))
  expect(check(path)).toBe('clean')
  expect(qemuRead(path, 0, 2)).toEqual([1, 1])
})

test('a repair of a file that another tab changes is refused with the reason, and the image stays open', async () => {
  const lost = create('lost.qcow2', '8M')
  qemuImg('snapshot', '-c', 'lost', lost)
  const held = readFileSync(lost)
  // A table of snapshots that nobody knows of: what it takes is lost space.
  held.writeUInt32BE(0, 60)
  const one = await lab.openIn(browser.context)
  await chooseFile(one, 'A file to keep in this browser', save('lost.qcow2', held))
  await one.getByRole('button', { name: 'lost.qcow2' }).click()
  const other = await lab.openIn(browser.context, '#image=stored:lost.qcow2&panel=check')
  await other.getByRole('button', { name: 'Check the image' }).click()
  await unlock(one, IN_PLACE)
  await other.getByRole('button', { name: 'Free lost space…' }).click()
  await other.getByRole('dialog').getByRole('button', { name: 'Repair' }).click()
  await other.getByText('Repairing failed: Another tab is changing the file').waitFor()
  expect((await bytesAt(other, 0)).slice(0, 2)).toEqual([0, 0])
})

test('a full disk is reported with what to do; what was saved stays, and with room editing continues', async () => {
  const page = await lab.openIn(browser.context)
  await chooseFile(page, 'A file to keep in this browser', create('full.qcow2', '64M', '-o', 'cluster_size=2M'))
  await page.getByRole('button', { name: 'full.qcow2' }).click()
  await unlock(page, IN_PLACE)
  await type(page, 0, '01')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved in full.qcow2.').waitFor()
  const limits = await browser.context.newCDPSession(page)
  const origin = new URL(page.url()).origin
  const usage = await page.evaluate(async () => (await navigator.storage.estimate()).usage ?? 0)
  await limits.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + 4 * MIB })

  const full = page.getByText(/was not written: There is no room.*delete files/)
  for (let offset = 2 * MIB; !(await full.count()); offset += 2 * MIB) {
    await goTo(page, String(offset))
    await page.keyboard.type('02')
    await eventually(
      async () => (await full.count()) || (await page.locator('.hex-bytes .changed').count()),
    ).toBeTruthy()
  }
  expect((await bytesAt(page, 0))[0]).toBe(1)

  await limits.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + 64 * MIB })
  await type(page, 30 * MIB, '03')
  await leave(page)
  const path = await exported(page, 'full.qcow2', file('full-after.qcow2'))
  expect(check(path)).toBe('clean')
  expect([...qemuRead(path, 0, 1), ...qemuRead(path, 30 * MIB, 1)]).toEqual([1, 3])
})
