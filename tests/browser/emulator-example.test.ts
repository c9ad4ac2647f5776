import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bootSector } from '../../www/sample/bootable.mjs'
import { convert } from '../js/helpers/qemu.js'
import type { Page } from './drivers/driver.js'
import { firmware } from './firmware.js'
import { useServedLab } from './storage-lab.js'

const root = join(import.meta.dirname, '../..')
const example = join(root, 'examples/emulator')

const raw = new Uint8Array(1024 * 1024)
raw.set(bootSector())
const { lab, server } = useServedLab(readFileSync(convert('bootable.qcow2', raw)))

/** Puts the example where its author would have it: with its packages and a BIOS beside it. */
function serveExample(): void {
  const files = (folder: string) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  const put = (from: string, to: string) => {
    for (const file of files(from)) lab.beside.set(`/example${to}${file.slice(join(root, from).length)}`, file)
  }
  put('examples/emulator', '')
  put('dist', '/node_modules/qcow2-web/dist')
  put('node_modules/v86/build', '/node_modules/v86/build')
  for (const name of ['bios.bin', 'vgabios-stdvga.bin']) lab.beside.set(`/example/bios/${name}`, firmware(name))
}

/** Waits until the page shows a text. */
const shows = (page: Page, text: string) =>
  page.evaluate(
    (text) =>
      new Promise<void>((resolve) => {
        const look = () => (document.body.innerText.includes(text) ? resolve() : void setTimeout(look, 50))
        look()
      }),
    text,
  )

it('the page of the example boots, saves the machine, and goes back to it in another page', async () => {
  serveExample()
  const open = () => lab.page(`example/index.html?disk=${encodeURIComponent(server.url)}`)
  let page = await open()
  await shows(page, 'Counted so far: 1')
  await page.evaluate(() => {
    document.querySelector<HTMLFormElement>('#save')?.requestSubmit()
  }, undefined)
  await shows(page, 'Go back to My machine')
  await shows(page, 'Done.')
  await page.close()

  page = await open()
  await shows(page, 'Counted so far: 2')
  await page.evaluate(() => document.querySelector<HTMLButtonElement>('#saved button')?.click(), undefined)
  await shows(page, 'Done.')
  await page.close()

  // The disk went back too, else it would be the third start.
  page = await open()
  await shows(page, 'Counted so far: 2')
  expect(await page.complaints()).toEqual([])
  await page.close()
})

it('the guide shows the code that runs', () => {
  const guide = readFileSync(join(example, 'README.md'), 'utf8')
  const [, shown] = /```js\n([\s\S]*?)```/.exec(guide) ?? []
  expect(shown).toBe(readFileSync(join(example, 'main.js'), 'utf8'))
})
