import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { run } from '../js/helpers/programs'
import { create, file, qemuImg } from '../js/helpers/qemu.js'
import { violations } from './axe'
import { ext4, fat, folder, MIB, partitioned } from './disk-lab'
import { chooseFile, eventually, shownBytes, usePageLab } from './page-lab'

const lab = usePageLab()

async function chosen(path: string): Promise<Page> {
  const page = await lab.open()
  await chooseFile(page, 'A qcow2 image', path)
  return page
}

const row = (page: Page, name: string) => page.getByRole('grid').getByText(name, { exact: true })

/** A raw disk with two partitions. */
function rawDisk(name: string): string {
  const home = folder(`${name} home`, (root) => writeFileSync(join(root, 'hello.txt'), 'Hello'))
  const stick = folder(`${name} stick`, (root) => writeFileSync(join(root, 'stick.txt'), 'Stick'))
  return partitioned(name, [ext4(`${name}.ext4`, 16, home, '-L', 'home'), fat(`${name}.fat`, 16, stick, 'STICK')])
}

test('a raw disk opens on its files, and converts to an image of the same disk', async () => {
  const path = rawDisk('disk.raw')
  const page = await chosen(path)
  await row(page, 'hello.txt').waitFor()
  await page.getByText('raw disk, 34 MiB').waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByRole('tab', { name: 'Partitions' }).click()
  expect(await violations(page)).toEqual([])
  await page.getByRole('button', { name: 'Files of partition 2' }).click()
  await row(page, 'STICK.TXT').or(row(page, 'stick.txt')).waitFor()
  await page.getByRole('button', { name: 'Convert…' }).click()
  await page.getByLabel('Saved').selectOption('In this browser')
  await page.getByRole('dialog').getByRole('button', { name: 'Convert' }).click()
  await page.getByText(/Kept in this browser as disk\.qcow2/).waitFor()
  const [given] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('dialog').getByRole('button', { name: 'Download' }).click(),
  ])
  await given.saveAs(file('converted.qcow2'))
  expect(qemuImg('compare', '-f', 'raw', '-F', 'qcow2', path, 'converted.qcow2')).toContain('identical')
})

test('an ISO image opens on its files', async () => {
  const root = folder('iso', (root) => {
    mkdirSync(join(root, 'sub'))
    writeFileSync(join(root, 'sub', 'A long name.txt'), 'On a disc')
  })
  run('xorriso', ['-as', 'mkisofs', '-quiet', '-V', 'DISC', '-J', '-r', '-o', 'disc.iso', root])
  const page = await chosen(file('disc.iso'))
  await row(page, 'sub').dblclick()
  await row(page, 'A long name.txt').click()
  await page.getByText('On a disc').waitFor()
})

test('a fixed VHD opens as the disk in front of its footer', async () => {
  qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=fixed,force_size', rawDisk('source.raw'), 'disk.vhd')
  const page = await chosen(file('disk.vhd'))
  await row(page, 'hello.txt').waitFor()
  await page.getByText('fixed VHD, 34 MiB').waitFor()
})

test('a file that is not known opens as a raw disk if that is asked for', async () => {
  writeFileSync(file('odd.bin'), Buffer.alloc(MIB, 'odd bytes '))
  const page = await chosen(file('odd.bin'))
  await page.getByRole('heading', { name: 'This is not a qcow2 image' }).waitFor()
  expect(await violations(page)).toEqual([])
  await page.getByRole('button', { name: 'Open as a raw disk' }).click()
  await page.getByRole('tab', { name: 'Partitions', selected: true }).waitFor()
  await page.getByRole('tab', { name: 'Bytes' }).click()
  expect(String.fromCharCode(...(await shownBytes(page)).bytes.slice(0, 10))).toBe('odd bytes ')
  await page.getByRole('button', { name: 'Close the disk' }).click()
  await page.getByRole('button', { name: 'Try a sample' }).waitFor()
})

const compressed = (program: string) => (name: string) =>
  writeFileSync(file(name), execFileSync(program, ['-c'], { input: readFileSync(create(`${name}.inner`, MIB)) }))
const text = (content: string) => (name: string) => writeFileSync(file(name), content)

test.each([
  ['disk.qcow2.gz', 'compressed by gzip', 'gunzip -k disk.qcow2.gz', compressed('gzip')],
  ['disk.qcow2.bz2', 'compressed by bzip2', 'bunzip2 -k disk.qcow2.bz2', compressed('bzip2')],
  ['disk.qcow2.xz', 'compressed by xz', 'unxz -k disk.qcow2.xz', compressed('xz')],
  ['disk.qcow2.zst', 'compressed by zstd', 'unzstd disk.qcow2.zst', compressed('zstd')],
  ['disk.lz4', 'compressed by lz4', 'unlz4 -k disk.lz4', text('\x04"M\x18'.padEnd(100))],
  [
    'pointer.qcow2',
    'Git LFS',
    'git lfs pull --include pointer.qcow2',
    text('version https://git-lfs.github.com/spec/v1\n'),
  ],
  ['page.qcow2', 'a web page', null, text('<!DOCTYPE html>\n<html><title>Sign in</title></html>')],
  [
    'machine.ova',
    'a whole machine',
    'tar -xf machine.ova',
    (name: string) => {
      writeFileSync(file('machine.ovf'), '<Envelope/>')
      run('tar', ['-cf', name, 'machine.ovf'])
    },
  ],
  [
    'disk.dmg',
    'a DMG image',
    'qemu-img convert -f dmg',
    (name: string) =>
      writeFileSync(file(name), Buffer.concat([Buffer.alloc(4096, 1), Buffer.from('koly'.padEnd(512))])),
  ],
])('%s is named for what it is, with what helps', async (name, title, command, make) => {
  make(name)
  const page = await chosen(file(name))
  await page.getByRole('heading', { name: 'What to do' }).waitFor()
  expect(await page.locator('.problem-title').innerText()).toContain(title)
  expect(await page.getByRole('button', { name: 'Open as a raw disk' }).count()).toBe(0)
  if (command === null) await eventually(() => page.locator('.problem pre').count()).toBe(0)
  else expect(await page.locator('.problem pre').first().innerText()).toContain(command)
})
