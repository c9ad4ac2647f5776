import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { check, contents, convert, create, disk, file, json, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { MIB, partitioned, qcow2 } from './disk-lab'
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
  await dialog.getByLabel('Saved').selectOption('In this browser')
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
  for (const choice of [/zstd/, /zlib/, /not compressed/]) {
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

/** The chooser itself is the browser's; the handles that it would give are real ones. */
async function standInForChooser(page: Page): Promise<void> {
  await page.evaluate(() => {
    const root = navigator.storage.getDirectory()
    const choose = async ({ suggestedName }: { suggestedName: string }) =>
      (await root).getFileHandle(`chosen ${suggestedName}`, { create: true })
    const chooseFolder = async () => (await root).getDirectoryHandle('folder', { create: true })
    Object.assign(window, { showSaveFilePicker: choose, showDirectoryPicker: chooseFolder })
  })
}

interface Chosen {
  size: number
  /** The bytes at the offsets that were asked for. */
  bytes: number[]
  sha256: string | null
}

/** Looks at a file that was chosen; hashes it where no offsets are asked for. */
async function chosen(page: Page, folder: string | null, name: string, offsets: number[] = []): Promise<Chosen> {
  return page.evaluate(
    async ({ folder, name, offsets }) => {
      const root = await navigator.storage.getDirectory()
      const directory = folder ? await root.getDirectoryHandle(folder) : root
      const file = await (await directory.getFileHandle(name)).getFile()
      const bytes = []
      for (const at of offsets) bytes.push(...new Uint8Array(await file.slice(at, at + 1).arrayBuffer()))
      const digest = async () => new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))
      const hex = (all: Uint8Array) => [...all].map((byte) => byte.toString(16).padStart(2, '0')).join('')
      return { size: file.size, bytes, sha256: offsets.length === 0 ? hex(await digest()) : null }
    },
    { folder, name, offsets },
  )
}

test('a partition goes to the file that the person chooses, with its size known before', async () => {
  writeFileSync(file('part.raw'), contents(3 * MIB, 5))
  const path = qcow2('parts.qcow2', partitioned('parts.raw', [file('part.raw')]))
  const page = await lab.openImage(path)
  await standInForChooser(page)
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  await dialog.getByLabel(/raw/).check()
  await dialog.getByText('It takes 5 MiB.').waitFor()
  await dialog.getByLabel('Of', { exact: true }).selectOption('1')
  await dialog.getByText('It takes 3 MiB.').waitFor()
  expect(await violations(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Convert', exact: true }).click()
  await dialog.getByText('Saved to chosen parts.raw, 3 MiB.').waitFor()
  const sha256 = createHash('sha256')
    .update(readFileSync(file('part.raw')))
    .digest('hex')
  expect(await chosen(page, null, 'chosen parts.raw')).toMatchObject({ size: 3 * MIB, sha256 })
})

test('an image goes to the file that the person chooses, and nothing else is kept of it', async () => {
  const page = await lab.openImage(image)
  await standInForChooser(page)
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  await dialog.getByRole('button', { name: 'Convert', exact: true }).click()
  await dialog.getByText(/^Saved to chosen source\.qcow2/).waitFor()
  const base64 = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory()
    const file = await (await root.getFileHandle('chosen source.qcow2')).getFile()
    const reader = new FileReader()
    reader.readAsDataURL(file)
    await new Promise((resolve) => reader.addEventListener('load', resolve))
    return String(reader.result).replace(/.*,/, '')
  })
  writeFileSync(file('chosen.qcow2'), Buffer.from(base64, 'base64'))
  expect(check(file('chosen.qcow2'))).toBe('clean')
  qemuImg('compare', '-q', image, file('chosen.qcow2'))
  const names = () =>
    page.evaluate(async () => {
      const found = []
      const root = (await navigator.storage.getDirectory()) as unknown as { keys(): AsyncIterable<string> }
      for await (const name of root.keys()) found.push(name)
      return found
    })
  expect(await names()).toEqual(['chosen source.qcow2'])
})

test('a range goes to several files in a folder, which together are its bytes', async () => {
  const large = create('large.qcow2', '600M')
  qemuIo(large, 'write -P 0x11 0 1M', 'write -P 0x22 300M 1M', 'write -P 0x33 599M 1M')
  const page = await lab.openImage(large)
  await standInForChooser(page)
  await page.getByRole('button', { name: 'Convert…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Convert the disk' })
  await dialog.getByLabel(/raw/).check()
  await dialog.getByLabel('Of', { exact: true }).selectOption('range')
  await dialog.getByLabel('From').fill('500M')
  await dialog.getByLabel('To before').fill('1M')
  await dialog.getByText('Write two offsets').waitFor()
  await dialog.getByLabel('From').fill('300M')
  await dialog.getByLabel('To before').fill('600M')
  await dialog.getByLabel('In', { exact: true }).selectOption('Files for 256 MiB of the disk each')
  await dialog.getByText('2 files. Each shows the next part of the disk.').waitFor()
  await dialog.getByRole('button', { name: 'Convert', exact: true }).click()
  await dialog.getByText('Saved 2 files to folder, from large.000.raw on.').waitFor()
  const first = await chosen(page, 'folder', 'large.000.raw', [0, MIB])
  const second = await chosen(page, 'folder', 'large.001.raw', [44 * MIB - 1])
  expect(first).toMatchObject({ size: 256 * MIB, bytes: [0x22, 0] })
  expect(second).toMatchObject({ size: 44 * MIB, bytes: [0x33] })
})
