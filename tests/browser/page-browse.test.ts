import { createHash, randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { run } from '../js/helpers/programs'
import { create, file, qemuImg, qemuIo } from '../js/helpers/qemu.js'
import { FileServer } from '../js/helpers/server.js'
import { violations } from './axe'
import { ext4, fat, folder, luks, MIB, partitioned, qcow2 } from './disk-lab'
import { chooseFile, eventually, usePageLab } from './page-lab'

const lab = usePageLab()
const big = Uint8Array.from({ length: 3 * MIB + 123 }, (_, index) => (index * 2_654_435_761) >>> 13)
const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  'base64',
)
/** "Привет, мир. Это текст в старой кодировке." many times, as Windows wrote it. */
const cyrillic = Buffer.from(
  'cff0e8e2e5f22c20ece8f02e20ddf2ee20f2e5eaf1f220e220f1f2e0f0eee920eaeee4e8f0eee2eae52e0a'.repeat(20),
  'hex',
)

function fillHome(root: string): void {
  mkdirSync(join(root, 'docs', 'deep'), { recursive: true })
  mkdirSync(join(root, 'many'))
  writeFileSync(join(root, 'hello.txt'), 'Hello, world\n')
  writeFileSync(join(root, 'big.bin'), big)
  writeFileSync(join(root, 'dot.png'), png)
  writeFileSync(join(root, 'docs', 'paper.pdf'), '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n')
  writeFileSync(join(root, 'file 10.txt'), 'ten')
  writeFileSync(join(root, 'file 9.txt'), 'nine, which is longer')
  symlinkSync('docs', join(root, 'link to docs'))
  symlinkSync('/nowhere', join(root, 'dangling'))
  writeFileSync(join(root, 'docs', 'wide.txt'), Buffer.from('\ufeffGrüße in UTF-16', 'utf16le'))
  writeFileSync(join(root, 'docs', 'old.txt'), cyrillic)
  writeFileSync(join(root, 'docs', 'Grüße 🦀.txt'), 'crab')
  writeFileSync(join(root, 'docs', 'deep', 'a:b?.txt'), 'awkward')
  writeFileSync(Buffer.from(`${root}/docs/\xff\xfe.bin`, 'latin1'), 'odd')
  linkSync(join(root, 'big.bin'), join(root, 'docs', 'deep', 'same.bin'))
  for (let index = 0; index < 3000; index += 1) writeFileSync(join(root, 'many', `entry ${index}`), '')
  utimesSync(join(root, 'hello.txt'), 1_000_000_000, 1_000_000_000)
}

beforeAll(() => {
  const home = folder('home', fillHome)
  const stick = folder('stick', (root) => {
    mkdirSync(join(root, 'FOTOS'))
    writeFileSync(join(root, 'FOTOS', 'Ein Bild.txt'), 'kein Bild')
  })
  const parts = [
    ext4('home.ext4', 48, home, '-L', 'home', '-N', '4000', '-m', '0'),
    fat('stick.fat', 16, stick, 'STICK'),
    luks('secret.luks', 20),
  ]
  qcow2('disk.qcow2', partitioned('disk.raw', parts), '-c')
  qemuImg('snapshot', '-c', 'before', file('disk.qcow2'))
  const later = folder('later', (root) => writeFileSync(join(root, 'only now.txt'), 'new'))
  qemuIo(file('disk.qcow2'), `write -s ${ext4('later.ext4', 48, later, '-L', 'later', '-N', '4000')} 1M 48M`)
}, 120_000)

const before = '#snapshot=1'
const grid = (page: Page): Locator => page.getByRole('grid')
const row = (page: Page, name: string): Locator =>
  grid(page).locator('.file-row', { has: page.getByText(name, { exact: true }) })
const cursor = (page: Page): Promise<string> =>
  grid(page).evaluate((element) => {
    const id = element.getAttribute('aria-activedescendant')
    return (id && document.getElementById(id)?.querySelector('bdi')?.textContent) || ''
  })
const volume = (page: Page, name: RegExp): Locator =>
  page.getByRole('group', { name: 'Volumes' }).getByRole('button', { name })
const names = (page: Page): Promise<string[]> => grid(page).locator('bdi').allInnerTexts()

/** A page that shows the files of the snapshot "before". */
async function browse(hash = ''): Promise<Page> {
  const page = await lab.openImage(file('disk.qcow2'), before + hash)
  await grid(page).locator('bdi').first().waitFor()
  return page
}

async function downloaded(page: Page, button: string): Promise<Buffer> {
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button, exact: true }).click(),
  ])
  return readFileSync(await given.path())
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('a disk with file systems opens on its files, with the volumes and how full they are', async () => {
  const page = await browse()
  expect(await page.getByRole('tab', { name: 'Files' }).getAttribute('aria-selected')).toBe('true')
  const volumes = page.getByRole('group', { name: 'Volumes' })
  const home = volumes.getByRole('button', { name: /home/ })
  expect(await home.getAttribute('aria-pressed')).toBe('true')
  expect(await home.innerText()).toMatch(/ext4, 48 MiB\n.* used, .* free/)
  expect(await volumes.getByRole('button', { name: /STICK/ }).innerText()).toMatch(/FAT16, 16 MiB/)
  expect(await names(page)).toEqual([
    ...['docs', 'lost+found', 'many'],
    ...['big.bin', 'dangling', 'dot.png', 'file 9.txt', 'file 10.txt', 'hello.txt', 'link to docs'],
  ])
  expect(await row(page, 'hello.txt').innerText()).toMatch(/13 bytes\n9 Sept? 2001/)
})

test('a locked volume asks for its passphrase, and the others stay', async () => {
  const page = await browse()
  await volume(page, /LUKS2/).click()
  await page.getByText('It is encrypted. Its passphrase does not leave this page').waitFor()
  await volume(page, /STICK/).click()
  await row(page, 'FOTOS').dblclick()
  await row(page, 'Ein Bild.txt').click()
  await page.getByText('kein Bild').waitFor()
  await volume(page, /STICK/).getByText(/used/).waitFor()
})

test('the list has the keys of file managers', async () => {
  const page = await browse()
  await grid(page).focus()
  await page.keyboard.press('Home')
  expect(await cursor(page)).toBe('docs')
  await page.keyboard.press('End')
  expect(await cursor(page)).toBe('link to docs')
  await page.keyboard.type('file 1')
  expect(await cursor(page)).toBe('file 10.txt')
  await page.keyboard.press('ArrowUp')
  expect(await cursor(page)).toBe('file 9.txt')
  await page.keyboard.press('Shift+ArrowDown')
  await page.getByText('2 selected, 24 bytes in files').waitFor()
  await page.keyboard.press('Home')
  await page.keyboard.press('Enter')
  await row(page, 'old.txt').waitFor()
  await page.getByRole('navigation', { name: 'Path' }).getByText('docs').waitFor()
  await page.keyboard.press('Home')
  await page.keyboard.press('Enter')
  await row(page, 'same.bin').waitFor()
  await page.keyboard.press('Backspace')
  await eventually(() => cursor(page)).toBe('deep')
  await page.keyboard.press('Alt+ArrowUp')
  await eventually(() => cursor(page)).toBe('docs')
  await page.goBack()
  await row(page, 'old.txt').waitFor()
  expect(await grid(page).evaluate((element) => element === document.activeElement)).toBe(true)
})

test('columns sort, and links are followed', async () => {
  const page = await browse()
  await page.getByRole('columnheader', { name: 'Size' }).getByRole('button').click()
  expect((await names(page)).slice(3, 5)).toEqual(['big.bin', 'dot.png'])
  expect(await page.getByRole('columnheader', { name: 'Size' }).getAttribute('aria-sort')).toBe('descending')
  await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click()
  await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click()
  expect((await names(page)).slice(0, 4)).toEqual(['many', 'lost+found', 'docs', 'link to docs'])
  await row(page, 'dangling').dblclick()
  await page.getByText('dangling leads nowhere').waitFor()
  await row(page, 'link to docs').dblclick()
  await row(page, 'old.txt').waitFor()
})

test('of a directory with thousands of entries only those in view are in the document', async () => {
  const page = await browse('&path=/many/')
  await page.getByText('3,000 entries').waitFor()
  expect(await grid(page).locator('.file-rows .file-row').count()).toBeLessThan(60)
  expect(await grid(page).getAttribute('aria-rowcount')).toBe('3001')
  await grid(page).focus()
  await page.keyboard.press('End')
  expect(await cursor(page)).toBe('entry 2999')
  expect(await row(page, 'entry 2999').getAttribute('aria-rowindex')).toBe('3001')
})

test('text is shown in its encoding, an image is drawn, and anything else is bytes', async () => {
  const page = await browse('&path=/docs/wide.txt')
  await page.getByRole('region', { name: 'Content of wide.txt' }).getByText('Grüße in UTF-16').waitFor()
  await row(page, 'old.txt').click()
  await page.getByRole('region', { name: 'Content of old.txt' }).getByText('Привет, мир.').first().waitFor()
  expect(await page.getByLabel('Encoding').inputValue()).toBe('windows-1251')
  await page.getByRole('button', { name: 'home', exact: true }).click()
  await row(page, 'dot.png').click()
  await page.getByText('1 × 1 pixels').waitFor()
  await page.getByRole('button', { name: 'Bytes', exact: true }).click()
  await page.getByRole('region', { name: 'Bytes of dot.png' }).getByText('89 50 4e 47').waitFor()
  await row(page, 'big.bin').click()
  await page.getByText('The first 16 KiB of 3 MiB.').waitFor()
})

test('a file is extracted as it is, a folder and a selection as a zip archive', async () => {
  const page = await browse()
  await row(page, 'big.bin').click()
  expect(hashOf(await downloaded(page, 'Extract'))).toBe(hashOf(big))
  await page.getByText('big.bin, 3 MiB, goes to your downloads.').waitFor()
  await row(page, 'hello.txt').click({ modifiers: ['ControlOrMeta'] })
  await row(page, 'docs').click({ modifiers: ['ControlOrMeta'] })
  writeFileSync(file('got.zip'), await downloaded(page, 'Extract as zip'))
  run('unzip', ['-q', 'got.zip', '-d', 'got'])
  const read = (path: string) => readFileSync(join(file('got'), path))
  expect(hashOf(read('big.bin'))).toBe(hashOf(big))
  expect(hashOf(read('docs/deep/same.bin'))).toBe(hashOf(big))
  expect(String(read('docs/deep/a_b_.txt'))).toBe('awkward')
  expect(String(read('docs/Grüße 🦀.txt'))).toBe('crab')
  expect(String(read('hello.txt'))).toBe('Hello, world\n')
})

test('what an archive leaves out is named', async () => {
  const page = await browse()
  await row(page, 'dangling').click()
  await row(page, 'hello.txt').click({ modifiers: ['ControlOrMeta'] })
  await downloaded(page, 'Extract as zip')
  await page.getByText('Left out: /dangling: A zip archive has only files and directories.').waitFor()
})

test('an extraction can be cancelled and started again', async () => {
  const large = randomBytes(40 * MIB)
  const root = folder('large', (root) => writeFileSync(join(root, 'large.bin'), large))
  const server = await new FileServer(readFileSync(qcow2('large.qcow2', ext4('large.ext4', 64, root)))).start()
  try {
    server.exposed = 'content-range, etag'
    server.allowed = 'range, if-range'
    const page = await lab.open(`#image=${encodeURIComponent(server.url)}`)
    await row(page, 'large.bin').click()
    await page.getByRole('region', { name: 'Bytes of large.bin' }).waitFor()
    // From here on nothing is answered.
    server.crowd = Number.POSITIVE_INFINITY
    await page.getByRole('button', { name: 'Extract', exact: true }).click()
    await page.getByText('Extracting large.bin…').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('Extracting large.bin…').waitFor({ state: 'detached' })
    server.release()
    expect(hashOf(await downloaded(page, 'Extract'))).toBe(hashOf(large))
  } finally {
    server.stop()
  }
})

test('names are searched here and below, and a find leads to its folder', async () => {
  const page = await browse()
  await page.getByLabel('Search by name').fill('*.bin')
  await page.getByText('3 found', { exact: true }).waitFor()
  expect((await names(page)).toSorted()).toEqual(['big.bin', 'same.bin', '\ufffd\ufffd.bin'])
  await row(page, 'same.bin').click()
  await page.getByRole('button', { name: 'Show in its folder' }).click()
  await row(page, 'a:b?.txt').waitFor()
  await eventually(() => cursor(page)).toBe('same.bin')
  expect(await page.getByLabel('Search by name').inputValue()).toBe('')
})

test('the address leads to a file again, also to one whose name is not text', async () => {
  const page = await browse('&path=/docs')
  await row(page, 'old.txt').waitFor()
  await row(page, '\ufffd\ufffd.bin').click()
  await page.getByText('odd', { exact: true }).waitFor()
  await eventually(() => page.url()).toContain('path-bytes=2f646f63732ffffe2e62696e')
  const again = await lab.openImage(file('disk.qcow2'), new URL(page.url()).hash)
  await again.getByText('odd', { exact: true }).waitFor()
  const none = await browse('&path=/docs/none.txt')
  await none.getByText('There is no file /docs/none.txt here.').waitFor()
})

test('the disk and its snapshot have files of their own', async () => {
  const page = await lab.openImage(file('disk.qcow2'))
  await row(page, 'only now.txt').waitFor()
  await page.getByRole('tab', { name: 'Snapshots' }).click()
  await page.getByRole('button', { name: 'Open snapshot before' }).click()
  await page.getByRole('tab', { name: 'Files' }).click()
  await row(page, 'hello.txt').waitFor()
})

test('axe-core finds nothing wrong with the files, nor with a volume that has none', async () => {
  const page = await browse('&path=/docs/old.txt')
  await page.getByRole('region', { name: 'Content of old.txt' }).waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByLabel('Search by name').fill('txt')
  await page.getByText(/ found$/).waitFor()
  expect(await violations(page)).toEqual([])
  await volume(page, /LUKS2/).click()
  expect(await violations(page)).toEqual([])
})

test('a disk without files opens on its overview, and does not load the module that reads them', async () => {
  lab.requests.length = 0
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', create('empty.qcow2', 4 * MIB))
  await page.getByRole('tab', { name: 'Overview', selected: true }).waitFor()
  expect(lab.requests.filter((url) => url.includes('qcow2_web_files'))).toEqual([])
  await page.getByRole('tab', { name: 'Files' }).click()
  await page.getByText('No file system that this page knows was found here.').waitFor()
})

test('a PDF document opens in a tab of its own', async () => {
  const page = await browse('&path=/docs/paper.pdf')
  await page.getByText('This is a PDF document.').waitFor()
  expect(await violations(page)).toEqual([])
  const [tab] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: 'Open in a new tab' }).click(),
  ])
  await eventually(() => tab.url()).toMatch(/^blob:/)
})

test('a file is dragged out of the page, as a download of its content', async () => {
  const page = await browse()
  await page.evaluate(() => {
    const note = (event: DragEvent) => {
      document.body.dataset.dragged = event.dataTransfer?.getData('DownloadURL') ?? ''
    }
    window.addEventListener('dragstart', note)
  })
  await row(page, 'big.bin').hover()
  await page.mouse.down()
  await page.locator('.file-row[data-ready=true]').waitFor()
  await page.mouse.move(600, 700, { steps: 5 })
  const dragged = () => page.evaluate(() => document.body.dataset.dragged ?? '')
  await eventually(dragged).toMatch(/^application\/octet-stream:big\.bin:blob:/)
  const url = (await dragged()).replace(/^[^:]*:[^:]*:/, '')
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    page.evaluate((href) => Object.assign(document.createElement('a'), { href, download: 'big.bin' }).click(), url),
  ])
  expect(hashOf(readFileSync(await given.path()))).toBe(hashOf(big))
  await page.mouse.up()
})
