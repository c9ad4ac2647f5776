import { readFileSync, writeFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { run } from '../js/helpers/programs'
import { contents, convert, file } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { chooseFile, eventually, fact, qemuRead, usePageLab } from './page-lab'
import { bytesAt, exported, stored } from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const image = convert('disk.qcow2', contents(4 * MIB, 7))

/** Compresses the image by a program, in two parts where `split` says so, and returns the file's path. */
function compressed(program: 'gzip' | 'xz' | 'zstd', ending: string, split = false): string {
  const path = file(`disk.qcow2.${ending}`)
  const whole = readFileSync(image)
  const parts = split ? [whole.subarray(0, 700_000), whole.subarray(700_000)] : [whole]
  const packed = parts.map((part, index) => {
    writeFileSync(file(`part${index}`), part)
    run(program, ['-q', '-k', '-f', file(`part${index}`)])
    return readFileSync(`${file(`part${index}`)}.${ending}`)
  })
  writeFileSync(path, Buffer.concat(packed))
  return path
}

async function decompress(page: Page, path: string): Promise<void> {
  await chooseFile(page, 'A qcow2 image', path)
  await page.getByRole('button', { name: 'Decompress it here' }).click()
}

test.each([
  ['gzip', 'gz', false],
  ['zstd', 'zst', true],
  ['xz', 'xz', true],
] as const)('an image that is compressed by %s is decompressed, kept and opened', async (program, ending, split) => {
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', compressed(program, ending, split))
  await page.getByRole('heading', { name: `This file is compressed by ${program}` }).waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByRole('button', { name: 'Decompress it here' }).click()
  expect(await fact(page, 'virtual-size')).toBe(String(4 * MIB))
  expect(await bytesAt(page, 3 * MIB)).toEqual(qemuRead(image, 3 * MIB, 16))
  await eventually(() => page.url()).toContain('image=stored%3Adisk.qcow2')
})

test('a compressed file that is imported is kept decompressed', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A file to keep in this browser', compressed('xz', 'xz'))
  await stored(page, 'disk.qcow2').waitFor()
  const path = await exported(page, 'disk.qcow2', file('exported.qcow2'))
  expect(readFileSync(path).equals(readFileSync(image))).toBe(true)
})

test.each(['gz', 'zst', 'xz'] as const)(
  'a .%s file that is cut off says so, and nothing is kept of it',
  async (ending) => {
    const path = compressed(({ gz: 'gzip', zst: 'zstd', xz: 'xz' } as const)[ending], ending)
    writeFileSync(path, readFileSync(path).subarray(0, -5000))
    const page = await lab.open()
    await decompress(page, path)
    await page.getByText(/^Decompressing disk.qcow2.* failed: /).waitFor()
    await page.getByRole('button', { name: 'Back to the start' }).last().click()
    await page.getByText('Images that you import, or keep here').waitFor()
  },
)

/** Drops a folder with copies of a file under each of the paths. The browser makes real entries of what it is given. */
async function dropFolder(page: Page, name: string, paths: string[]): Promise<void> {
  const content = readFileSync(image).toString('base64')
  await page.evaluate(
    async ({ name, paths, content }) => {
      const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0))
      const file = (path: string) => ({
        isFile: true,
        isDirectory: false,
        name: path.split('/').pop(),
        fullPath: `/${name}/${path}`,
        file: (give: (file: File) => void) => give(new File([bytes], path.split('/').pop() ?? '')),
      })
      const folder = (fullPath: string, below: string[]): object => ({
        isFile: false,
        isDirectory: true,
        name: fullPath.split('/').pop(),
        fullPath,
        createReader: () => {
          const inside = below.map((path) => path.split('/'))
          const folders = new Set(inside.filter((steps) => steps.length > 1).map(([first]) => first ?? ''))
          const prefix = fullPath.slice(name.length + 2)
          const given = [
            ...inside
              .filter((steps) => steps.length === 1)
              .map(([only]) => file(`${prefix ? `${prefix}/` : ''}${only}`)),
            ...[...folders].map((each) =>
              folder(
                `${fullPath}/${each}`,
                inside
                  .filter(([first, ...rest]) => first === each && rest.length > 0)
                  .map(([, ...rest]) => rest.join('/')),
              ),
            ),
          ]
          return { readEntries: (give: (entries: object[]) => void) => give(given.splice(0, 2)) }
        },
      })
      const event = new Event('drop', { bubbles: true, cancelable: true })
      const item = { kind: 'file', webkitGetAsEntry: () => folder(`/${name}`, paths) }
      Object.assign(event, { dataTransfer: { files: [], items: [item], types: ['Files'] } })
      window.dispatchEvent(event)
    },
    { name, paths, content },
  )
}

test('the one image in a dropped folder opens; of several the person chooses', async () => {
  const page = await lab.open()
  await dropFolder(page, 'machine', ['notes.txt', 'disks/deep/only.qcow2'])
  await page.getByRole('heading', { name: 'only.qcow2' }).waitFor()
  await dropFolder(page, 'machines', ['a.qcow2', 'b.txt', 'c.txt', 'old/b.img', 'old/notes'])
  const dialog = page.getByRole('dialog', { name: '2 images in machines' })
  await dialog.waitFor()
  expect(await violations(page)).toEqual([])
  expect(await dialog.getByRole('listitem').allInnerTexts()).toEqual([
    expect.stringMatching(/^a\.qcow2/),
    expect.stringMatching(/^old\/b\.img/),
  ])
  await dialog.getByRole('button', { name: 'old/b.img' }).click()
  await page.getByRole('heading', { name: 'b.img' }).waitFor()
  await page.getByRole('button', { name: 'Close the image' }).click()
  await dropFolder(page, 'empty', ['readme.md'])
  await page.getByText('The folder empty has no images.').waitFor()
})
