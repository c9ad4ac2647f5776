import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { create, file, json, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { chooseFile, download, eventually, fact, qemuRead, shownBytes, usePageLab } from './page-lab'
import { goTo, unlock } from './page-steps'

const lab = usePageLab()

test('an image is read-only until it is unlocked: typing changes nothing', async () => {
  const image = create('locked.qcow2', '4M')
  qemuIo(image, 'write -P 0x55 1M 64k')
  const page = await lab.openImage(image, '#panel=hex')
  await goTo(page, '1M')
  await page.keyboard.type('ab')
  const { start, bytes } = await shownBytes(page)
  expect(bytes).toEqual(qemuRead(image, start, bytes.length))
  expect(await page.getByRole('button', { name: 'Edit', exact: true }).isEnabled()).toBe(true)
  expect(await page.getByRole('button', { name: 'Download' }).count()).toBe(0)
})

test('what is typed over the bytes is in the image that is downloaded, and the file stays as it was', async () => {
  const image = create('typed.qcow2', '4M')
  qemuIo(image, 'write -P 0x11 1M 64k')
  const before = readFileSync(image)
  const page = await lab.openImage(image, '#panel=hex')
  await unlock(page)
  // In a cluster that is there, in one that isn't, and as text.
  await goTo(page, '0x100004')
  await page.keyboard.type('DEad')
  await goTo(page, '3M')
  await page.keyboard.type('cafe')
  await page.keyboard.press('F2')
  await page.keyboard.type('g 1')
  await page.getByText('Editing, not saved').waitFor()
  await eventually(() => page.locator('.hex-bytes .changed').count()).toBe(5)

  const path = await download(page, file('typed-saved.qcow2'))
  expect(readFileSync(image).equals(before)).toBe(true)
  expect(JSON.parse(qemuImg('check', '--output=json', path))).not.toHaveProperty('leaks')
  expect(qemuRead(path, 0x100000, 8)).toEqual([0x11, 0x11, 0x11, 0x11, 0xde, 0xad, 0x11, 0x11])
  expect(qemuRead(path, 3 << 20, 6)).toEqual([0xca, 0xfe, 0x67, 0x20, 0x31, 0])
  // What was saved is what one goes on with.
  await eventually(() => page.locator('.hex-bytes .changed').count()).toBe(0)
  await goTo(page, '3M')
  expect(await page.locator(`.hex-bytes [data-at="${3 << 20}"]`).innerText()).toBe('ca')
})

test('changes are undone one by one', async () => {
  const image = create('undone.qcow2', '1M')
  qemuIo(image, 'write -P 0x22 0 64k')
  const page = await lab.openImage(image, '#panel=hex')
  await unlock(page)
  await goTo(page, '0')
  await page.keyboard.type('010203')
  await page.keyboard.press('Control+z')
  await page.getByRole('button', { name: 'Undo' }).click()
  expect((await shownBytes(page)).bytes.slice(0, 4)).toEqual([0x01, 0x22, 0x22, 0x22])
  const path = await download(page, file('undone-saved.qcow2'))
  expect(qemuRead(path, 0, 4)).toEqual([0x01, 0x22, 0x22, 0x22])
})

test('a byte of which one digit was typed stays as it was', async () => {
  const image = create('half.qcow2', '1M')
  const page = await lab.openImage(image, '#panel=hex')
  await unlock(page)
  await goTo(page, '0x10')
  await page.keyboard.type('7')
  await eventually(() => page.locator('.hex-bytes .selected').innerText()).toBe('7_')
  await page.keyboard.press('ArrowRight')
  expect((await shownBytes(page)).bytes[16]).toBe(0)
  expect(await page.getByText('not saved').count()).toBe(0)
})

test('saving goes into the chosen file, and editing continues over it', async () => {
  const image = create('kept.qcow2', '4M')
  qemuIo(image, 'write -P 0x33 0 1M')
  const page = await lab.open()
  // The chooser itself is the browser's; the handle that it would give is a real one.
  await page.evaluate(() => {
    const choose = async () => (await navigator.storage.getDirectory()).getFileHandle('kept.qcow2', { create: true })
    Object.assign(window, { showSaveFilePicker: choose })
  })
  const stored = async () => {
    const base64 = await page.evaluate(async () => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('kept.qcow2')
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer())
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    })
    const path = file('kept-stored.qcow2')
    writeFileSync(path, Buffer.from(base64, 'base64'))
    return path
  }
  await chooseFile(page, 'A qcow2 image', image)
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await unlock(page)
  await goTo(page, '0')
  await page.keyboard.type('01')
  await page.getByRole('button', { name: 'Save as…' }).click()
  await page.getByText('Saved to kept.qcow2.').waitFor()
  expect(qemuRead(await stored(), 0, 2)).toEqual([0x01, 0x33])

  await goTo(page, '2M')
  await page.keyboard.type('02')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved to kept.qcow2.').waitFor()
  const path = await stored()
  expect(qemuRead(path, 0, 2)).toEqual([0x01, 0x33])
  expect(qemuRead(path, 2 << 20, 2)).toEqual([0x02, 0])
  qemuImg('check', path)
})

test('while it is saved nothing is changed, for that would be lost', async () => {
  const page = await lab.openImage(create('held.qcow2', '1M'), '#panel=hex')
  // A file that can't be written yet.
  await page.evaluate(async () => {
    const handle = await (await navigator.storage.getDirectory()).getFileHandle('held.qcow2', { create: true })
    const held = new Promise((resolve) => Object.assign(window, { letGo: resolve }))
    const createWritable = () => held.then(() => handle.createWritable())
    const slow = { name: handle.name, getFile: () => handle.getFile(), createWritable }
    Object.assign(window, { showSaveFilePicker: async () => slow })
  })
  await unlock(page)
  await goTo(page, '0')
  await page.keyboard.type('01')
  await page.getByRole('button', { name: 'Save as…' }).click()
  await page.getByText('Saving…').waitFor()
  await page.locator('.hex-rows').focus()
  await page.keyboard.type('ab')
  await page.keyboard.press('Control+z')
  expect((await shownBytes(page)).bytes.slice(0, 3)).toEqual([0x01, 0, 0])
  for (const name of ['Undo', 'Convert…']) {
    expect(await page.getByRole('button', { name }).isDisabled(), name).toBe(true)
  }
  await page.evaluate(() => (window as unknown as { letGo(): void }).letGo())
  await page.getByText('Saved to held.qcow2.').waitFor()
  await goTo(page, '1')
  await page.keyboard.type('ab')
  expect((await shownBytes(page)).bytes.slice(0, 3)).toEqual([0x01, 0xab, 0])
})

test('a new image is made, edited and downloaded, with the options that were chosen', async () => {
  const page = await lab.open()
  await page.getByRole('button', { name: 'New image…' }).click()
  await page.getByLabel('Name').fill('fresh.qcow2')
  await page.getByLabel('Size of the disk').fill('300 MiB')
  await page.getByText('Format', { exact: true }).click()
  await page.getByLabel('Clusters of').selectOption('262144')
  await page.getByLabel('Refcounts of').selectOption('32')
  await page.getByLabel('Compression').selectOption('zstd')
  await page.getByLabel('Subclusters').check()
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await goTo(page, '100M')
  await page.keyboard.type('aa55')
  const path = await download(page, file('fresh.qcow2'))
  const info = json<{ 'virtual-size': number; 'cluster-size': number; 'format-specific': { data: object } }>(
    'info',
    path,
  )
  expect(info['virtual-size']).toBe(300 << 20)
  expect(info['cluster-size']).toBe(262144)
  expect(info['format-specific'].data).toMatchObject({
    'refcount-bits': 32,
    'extended-l2': true,
    'compression-type': 'zstd',
    compat: '1.1',
  })
  qemuImg('check', path)
  expect(qemuRead(path, 100 << 20, 3)).toEqual([0xaa, 0x55, 0])
})

test('a new image over another begins as that one', async () => {
  const base = create('base.qcow2', '8M')
  qemuIo(base, 'write -P 0x44 0 8M')
  const page = await lab.open()
  await page.getByRole('button', { name: 'New image…' }).click()
  await page.getByLabel('Name').fill('overlay.qcow2')
  await page.getByLabel('Size of the disk').fill('8M')
  await chooseFile(page, 'The image that the new one begins as', base)
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  await goTo(page, '1M')
  expect((await shownBytes(page)).bytes[0]).toBe(0x44)
  await page.keyboard.type('45')
  const path = await download(page, file('overlay.qcow2'))
  expect(qemuRead(path, 1 << 20, 2)).toEqual([0x45, 0x44])
  expect(json<{ 'backing-filename': string }>('info', path)['backing-filename']).toBe('base.qcow2')
})

test('an image that can’t be created is refused with the reason, and can be corrected', async () => {
  const page = await lab.open()
  await page.getByRole('button', { name: 'New image…' }).click()
  await page.getByLabel('Size of the disk').fill('a lot')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByText('Write the size of the disk as').waitFor()
  await page.getByLabel('Size of the disk').fill('1024 PiB')
  await page.getByText('Format', { exact: true }).click()
  await page.getByLabel('Clusters of').selectOption('512')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Size of the disk').fill('1 GiB')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('tablist').waitFor()
  expect(await fact(page, 'virtual-size')).toBe(String(2 ** 30))
})

test('changes are not lost without a question', async () => {
  const image = create('precious.qcow2', '1M')
  const page = await lab.openImage(image, '#panel=hex')
  await unlock(page)
  await goTo(page, '0')
  await page.keyboard.type('99')
  await page.getByRole('button', { name: 'Close the image' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  expect((await shownBytes(page)).bytes[0]).toBe(0x99)
  await page.getByRole('button', { name: 'Close the image' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Discard the changes' }).click()
  await page.getByRole('button', { name: 'Try a sample' }).waitFor()
})

test('the focus stays at the work: after a dialog, when the image is unlocked, and when a snapshot was taken', async () => {
  const page = await lab.openImage(create('focus.qcow2', '1M'), '#panel=snapshots')
  const focused = (name: string) =>
    eventually(() =>
      page.evaluate(() => {
        const { activeElement } = document
        return activeElement?.getAttribute('aria-label') ?? activeElement?.id ?? activeElement?.textContent?.trim()
      }),
    ).toBe(name)
  await page.getByRole('button', { name: 'Keyboard shortcuts' }).press('Enter')
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Escape')
  await focused('Keyboard shortcuts')
  await page.getByRole('button', { name: 'Edit', exact: true }).press('Enter')
  await focused('Changes')
  await page.getByLabel('New snapshot').fill('one')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Delete snapshot one' }).waitFor()
  await focused('snapshot-name')
})

test('an image that can’t be edited shows the reason', async () => {
  const image = create('split.qcow2', '1M', '-o', `data_file=${file('split.data')}`)
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', image)
  await chooseFile(page, 'The data file', file('split.data'))
  const lock = page.getByRole('button', { name: 'Edit', exact: true })
  await lock.waitFor()
  expect(await lock.isDisabled()).toBe(true)
  expect(await lock.getAttribute('title')).toContain('second file')
})
