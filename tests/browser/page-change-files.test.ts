import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { run } from '../js/helpers/programs'
import { difference, file, qemuImg } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { encrypted, ext4, fat, folder, MIB, partitioned, qcow2 } from './disk-lab'
import { chooseFile, download, eventually, usePageLab } from './page-lab'
import { exported, leave, stored, unlock } from './page-steps'

const lab = usePageLab()
const passphrase = 'correct horse'
const big = Uint8Array.from({ length: 5 * MIB + 77 }, (_, index) => (index * 2_654_435_761) >>> 9)
/** The partitions are behind one another from 1 MiB on. */
const stick = { start: MIB, length: 16 * MIB }

beforeAll(() => {
  const files = folder('stick', (root) => {
    mkdirSync(join(root, 'OLD'))
    writeFileSync(join(root, 'OLD', 'inside.txt'), 'inside')
    writeFileSync(join(root, 'note.txt'), 'old note')
  })
  const secret = folder('secret', (root) => writeFileSync(join(root, 'diary.txt'), 'Dear diary'))
  const parts = [
    fat('stick.fat', 16, files, 'STICK'),
    encrypted('secret.luks', ext4('secret.ext4', 8, secret, '-L', 'secret'), passphrase),
  ]
  qcow2('disk.qcow2', partitioned('disk.raw', parts))
  writeFileSync(file('big.bin'), big)
  writeFileSync(file('NOTE.TXT'), 'new note')
  writeFileSync(file('Für die Maschine.txt'), 'Grüße')
  writeFileSync(file('huge.bin'), new Uint8Array(20 * MIB).fill(7))
}, 120_000)

const grid = (page: Page): Locator => page.getByRole('grid')
const row = (page: Page, name: string): Locator =>
  grid(page).locator('.file-row', { has: page.getByText(name, { exact: true }) })
const names = (page: Page): Promise<string[]> => grid(page).locator('bdi').allInnerTexts()
const volume = (page: Page, name: RegExp): Locator =>
  page.getByRole('group', { name: 'Volumes' }).getByRole('button', { name })
const add = (page: Page, ...paths: string[]): Promise<void> =>
  page.locator('input[aria-label="Files to add"]').setInputFiles(paths)

/** A page that shows the files of the FAT volume, which can be changed. */
async function changeable(image = 'disk.qcow2'): Promise<Page> {
  const page = await lab.openImage(file(image))
  await volume(page, /STICK/).click()
  await row(page, 'note.txt').waitFor()
  await unlock(page)
  await page.getByRole('button', { name: 'Add files…' }).waitFor()
  return page
}

/** Checks the FAT volume of a saved image with other programs. Returns the paths in it. */
function checked(image: string): string[] {
  qemuImg('convert', '-f', 'qcow2', '-O', 'raw', image, 'saved.raw')
  writeFileSync(file('part.fat'), readFileSync(file('saved.raw')).subarray(stick.start, stick.start + stick.length))
  run('fsck.fat', ['-n', file('part.fat')])
  const list = run('mdir', ['-b', '-/', '-i', file('part.fat'), '::'])
  return list.trim().split('\n')
}

test('an encrypted volume opens by its passphrase, and a wrong one is reported', async () => {
  const page = await lab.openImage(file('disk.qcow2'))
  await volume(page, /LUKS2/).click()
  await page.getByLabel('Passphrase').fill('wrong')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('Type it again, with the same capitals.').waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByLabel('Passphrase').fill(passphrase)
  await page.getByRole('button', { name: 'Unlock', exact: true }).click()
  await row(page, 'diary.txt').click()
  await page.getByText('Dear diary').waitFor()
  expect(await volume(page, /secret/).getAttribute('aria-pressed')).toBe('true')
  expect(await volume(page, /LUKS2/).innerText()).toContain('unlocked')
  await volume(page, /LUKS2/).click()
  await page.getByText('It is unlocked. What is in it is listed beside it.').waitFor()
})

test('files are added, replaced and deleted on FAT, and other programs find them in the saved image', async () => {
  const page = await changeable()
  await add(page, file('big.bin'), file('Für die Maschine.txt'))
  await page.getByText('2 files were added. Save the image to keep that.').waitFor()
  await eventually(() => names(page)).toEqual(['OLD', 'big.bin', 'Für die Maschine.txt', 'note.txt'])

  await page.getByRole('button', { name: 'New folder…' }).click()
  await page.getByRole('dialog', { name: 'New folder' }).getByLabel('Name').fill('Neuer Ordner')
  expect(await violations(page)).toEqual([])
  await page.keyboard.press('Enter')
  await row(page, 'Neuer Ordner').dblclick()
  await page.getByText('0 entries').waitFor()
  await add(page, file('NOTE.TXT'))
  await row(page, 'NOTE.TXT').waitFor()
  await page.getByRole('button', { name: 'STICK', exact: true }).click()

  await row(page, 'note.txt').waitFor()
  await add(page, file('NOTE.TXT'))
  await page.getByRole('dialog', { name: 'Replace “note.txt”?' }).getByRole('button', { name: 'Replace' }).click()
  await page.getByText('NOTE.TXT was added.').waitFor()

  await row(page, 'OLD').click()
  await grid(page).focus()
  await page.keyboard.press('Delete')
  await page.getByRole('dialog', { name: 'Delete “OLD”?' }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByText('OLD was deleted.').waitFor()
  expect(await violations(page)).toEqual([])

  const saved = await download(page, file('saved.qcow2'))
  const paths = checked(saved).map((path) => path.toLowerCase())
  expect(paths.sort()).toEqual([
    '::/big.bin',
    '::/für die maschine.txt',
    '::/neuer ordner/',
    '::/neuer ordner/note.txt',
    '::/note.txt',
  ])
  expect(run('mtype', ['-i', file('part.fat'), '::/note.txt'])).toBe('new note')
  run('mcopy', ['-n', '-i', file('part.fat'), '::/big.bin', file('big.out')])
  expect(difference(readFileSync(file('big.out')), big)).toBe(-1)
})

test('undo takes back changes of files one by one', async () => {
  const page = await changeable()
  await row(page, 'OLD').click()
  await grid(page).focus()
  await page.keyboard.press('Delete')
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await eventually(() => names(page)).toEqual(['note.txt'])
  await add(page, file('big.bin'))
  await eventually(() => names(page)).toEqual(['big.bin', 'note.txt'])
  await grid(page).focus()
  await page.keyboard.press('Control+z')
  await eventually(() => names(page)).toEqual(['note.txt'])
  await page.getByRole('button', { name: 'Undo' }).click()
  await eventually(() => names(page)).toEqual(['OLD', 'note.txt'])
  await eventually(() => page.getByRole('button', { name: 'Undo' }).isEnabled()).toBe(false)
  const saved = await download(page, file('undone.qcow2'))
  qemuImg('compare', file('disk.qcow2'), saved)
})

test('a change for which there is no room explains what to do, and leaves the volume as it was', async () => {
  const page = await changeable()
  await add(page, file('huge.bin'))
  await page.getByRole('alert').getByText('Delete files that are no longer needed, or add smaller ones.').waitFor()
  await eventually(() => names(page)).toEqual(['OLD', 'note.txt'])
  await add(page, file('NOTE.TXT'))
  await page.getByRole('button', { name: 'Replace' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  const saved = await download(page, file('no-room.qcow2'))
  qemuImg('compare', file('disk.qcow2'), saved)
})

test('files that are dropped on the list are added, and do not open as images', async () => {
  const page = await changeable()
  const drag = (...types: string[]) =>
    grid(page).evaluate((element, types) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File(['dropped'], 'dropped.txt'))
      for (const type of types) {
        element.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }))
      }
    }, types)
  await drag('dragover')
  await page.locator('.file-box.over').waitFor()
  expect(await page.getByText('Drop the image to open it').count()).toBe(0)
  await drag('drop')
  await page.getByText('dropped.txt was added.').waitFor()
  await row(page, 'dropped.txt').waitFor()
  const saved = await download(page, file('dropped.qcow2'))
  expect(checked(saved).map((path) => path.toLowerCase())).toContain('::/dropped.txt')
  expect(run('mtype', ['-i', file('part.fat'), '::/dropped.txt'])).toBe('dropped')
})

test('files are changed in the stored file itself, and undone there', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A file to keep in this browser', file('disk.qcow2'))
  await stored(page, 'disk.qcow2').waitFor()
  await page.getByRole('button', { name: 'disk.qcow2' }).click()
  await volume(page, /STICK/).click()
  await row(page, 'note.txt').waitFor()
  await unlock(page, 'In the stored file')
  await add(page, file('big.bin'), file('Für die Maschine.txt'))
  await page.getByText('2 files were added.', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Undo' }).click()
  await eventually(() => names(page)).toEqual(['OLD', 'big.bin', 'note.txt'])
  await leave(page)
  const path = await exported(page, 'disk.qcow2', file('stored.qcow2'))
  expect(checked(path).map((each) => each.toLowerCase())).toContain('::/big.bin')
  run('mcopy', ['-n', '-i', file('part.fat'), '::/big.bin', file('stored.out')])
  expect(difference(readFileSync(file('stored.out')), big)).toBe(-1)
  expect(run('mdir', ['-b', '-/', '-i', file('part.fat'), '::'])).not.toContain('Maschine')
})

test('files of other file systems, of snapshots and of locked images cannot be changed', async () => {
  copyFileSync(file('disk.qcow2'), file('snapshot.qcow2'))
  qemuImg('snapshot', '-c', 'before', file('snapshot.qcow2'))
  const page = await lab.openImage(file('snapshot.qcow2'), '#snapshot=1')
  await volume(page, /STICK/).click()
  await row(page, 'note.txt').waitFor()
  expect(await page.getByText('You can add, replace and delete the files of this volume.').count()).toBe(0)
  await page.getByRole('button', { name: 'Back to the active disk' }).click()
  await page.getByText('You can add, replace and delete the files of this volume.').waitFor()
  expect(await page.getByRole('button', { name: 'Add files…' }).count()).toBe(0)
  await page.getByRole('button', { name: 'Edit the image' }).click()
  await page.getByRole('button', { name: 'Add files…' }).waitFor()
  await volume(page, /LUKS2/).click()
  await page.getByLabel('Passphrase').fill(passphrase)
  await page.keyboard.press('Enter')
  await row(page, 'diary.txt').waitFor()
  expect(await page.getByRole('button', { name: 'Add files…' }).count()).toBe(0)
})
