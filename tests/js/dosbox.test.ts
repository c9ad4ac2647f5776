import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { run } from './helpers/programs.js'
import { check, contents, convert, disk, file } from './helpers/qemu.js'

it('DOS copies files on a disk of the package, and its death loses nothing', async () => {
  const floppy = file('floppy.img')
  run('mkfs.fat', ['-F', '12', '-C', floppy, '1440'])
  const image = convert('floppy.qcow2', readFileSync(floppy))
  const source = contents(300_000)
  writeFileSync(file('in.bin'), source)

  const dos = spawn(process.execPath, [join(import.meta.dirname, 'dosbox.mjs'), image, file('in.bin')])
  let heard = ''
  dos.stderr.on('data', (text) => {
    heard += text
  })
  await new Promise<void>((resolve, reject) => {
    dos.stdout.on('data', (text) => {
      heard += text
      if (/copied[\s\S]*flushed/.test(heard)) resolve()
    })
    dos.once('exit', () => reject(new Error(heard)))
  })
  dos.kill('SIGKILL')
  await new Promise((resolve) => dos.once('exit', resolve))

  check(image)
  const found = Buffer.from(disk(image))
  writeFileSync(floppy, found)
  run('fsck.fat', ['-n', floppy])
  const first = found.indexOf(source)
  expect(first).toBeGreaterThan(0)
  expect(found.indexOf(source, first + 1)).toBeGreaterThan(first)
})
