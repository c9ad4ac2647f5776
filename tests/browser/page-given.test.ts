import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { create, file, qemuIo } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { chooseFile, fact, usePageLab } from './page-lab'
import { bytesAt, openAddress, useFileServer } from './page-steps'

const lab = usePageLab()
const MIB = 2 ** 20
const image = create('served.qcow2', 4 * MIB)
qemuIo(image, `write -P 0x5e ${MIB} 64k`)
const server = useFileServer(image)

/** Drops files on the page, or a link. */
async function drop(page: Page, paths: string[], link = ''): Promise<void> {
  const files = paths.map((path) => ({ name: basename(path), content: readFileSync(path).toString('base64') }))
  await page.evaluate(
    ({ files, link }) => {
      const dataTransfer = new DataTransfer()
      for (const { name, content } of files) {
        dataTransfer.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name))
      }
      if (link) dataTransfer.setData('text/uri-list', link)
      for (const type of ['dragover', 'drop']) {
        window.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }))
      }
    },
    { files, link },
  )
}

async function paste(page: Page, text: string): Promise<void> {
  await page.evaluate((text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', text)
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
  }, text)
}

test('of several dropped files the top one opens, with the others where their names are recorded', async () => {
  writeFileSync(file('base.raw'), Buffer.alloc(4 * MIB, 0xaa))
  const middle = create('middle.qcow2', 4 * MIB, '-b', 'base.raw', '-F', 'raw')
  qemuIo(middle, `write -P 0xbb ${MIB} 64k`)
  const top = create('top.qcow2', 4 * MIB, '-b', 'middle.qcow2', '-F', 'qcow2')
  const page = await lab.open()
  await drop(page, [file('base.raw'), middle, top])
  await page.getByRole('heading', { name: 'top.qcow2' }).waitFor()
  expect((await bytesAt(page, 0))[0]).toBe(0xaa)
  expect((await bytesAt(page, MIB))[0]).toBe(0xbb)
})

test('a pasted address and a dropped link open, and text that is none does not', async () => {
  const page = await lab.open()
  await paste(page, 'not an address')
  await paste(page, ` ${server.url}\n`)
  expect(await fact(page, 'virtual-size')).toBe(String(4 * MIB))
  const other = await lab.open()
  await drop(other, [], server.url)
  expect(await fact(other, 'virtual-size')).toBe(String(4 * MIB))
})

test('from a server that sends no parts of a file it is downloaded as a whole, and opens', async () => {
  server.ranges = false
  // More than the page takes as it comes.
  const large = create('large.qcow2', 64 * MIB)
  qemuIo(large, 'write -P 0x5e 0 24M')
  const small = server.file
  server.file = readFileSync(large)
  try {
    const page = await lab.open()
    await openAddress(page, server.url)
    await page.getByRole('heading', { name: 'The server can’t send parts of the file' }).waitFor()
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: 'Download it here' }).click()
    expect(await fact(page, 'virtual-size')).toBe(String(64 * MIB))
    expect((await bytesAt(page, 23 * MIB))[0]).toBe(0x5e)
  } finally {
    Object.assign(server, { ranges: true, file: small })
  }
})

test('a file that is dropped while another is asked for is the answer', async () => {
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', create('over.qcow2', 4 * MIB, '-b', 'served.qcow2', '-F', 'qcow2'))
  await page.getByRole('dialog').waitFor()
  await drop(page, [image])
  expect((await bytesAt(page, MIB))[0]).toBe(0x5e)
})
