#!/usr/bin/env node
/**
 * Makes the sample image that the page offers, public/sample.qcow2: a small disk with something of everything. A GPT
 * with an EFI system partition, an ext4 file system, plain text and swap; compressed, plain and zero clusters; two
 * snapshots. Needs qemu-img, qemu-io and mke2fs. The result is committed, so that a build needs none of them; it is the
 * same each time, but for the dates of the snapshots.
 */

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gpt, MIB } from './gpt.mjs'
import { LIMERICK, NOTES, README } from './texts.mjs'

const SIZE = 96 * MIB
const PARTITIONS = [
  { type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B', name: 'EFI', start: MIB, length: 7 * MIB },
  { type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', name: 'Home', start: 8 * MIB, length: 48 * MIB },
  { type: 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7', name: 'Notes', start: 56 * MIB, length: 8 * MIB },
  { type: '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', name: 'Swap', start: 80 * MIB, length: 8 * MIB },
]
const output = fileURLToPath(new URL('../public/sample.qcow2', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-sample-'))
try {
  await makeRawDisk(join(folder, 'disk.raw'))
  rmSync(output, { force: true })
  run(
    'qemu-img',
    'convert',
    '-c',
    '-f',
    'raw',
    '-O',
    'qcow2',
    '-o',
    'cluster_size=4k',
    join(folder, 'disk.raw'),
    output,
  )
  // The machine goes on: each state adds plain clusters and zero clusters over the compressed ones.
  qemuIo(`write -P 0x41 ${59 * MIB} 24k`, `write -z ${58 * MIB} 64k`)
  run('qemu-img', 'snapshot', '-c', 'fresh install', output)
  writeText(58 * MIB + 256 * 1024, LIMERICK.repeat(20))
  qemuIo(`write -P 0x42 ${59 * MIB + 16384} 32k`, `write -z -u ${60 * MIB} 1M`, `write -z ${32 * MIB} 256k`)
  run('qemu-img', 'snapshot', '-c', 'before the upgrade', output)
  writeText(58 * MIB + 512 * 1024, NOTES)
  qemuIo(`write -P 0x43 ${59 * MIB + 128 * 1024} 40k`, `discard ${59 * MIB} 8k`)
  run('qemu-img', 'check', '-q', output)
  process.stdout.write(`${output}: ${statSync(output).size} bytes\n`)
} finally {
  rmSync(folder, { recursive: true })
}

async function makeRawDisk(path) {
  const disk = await open(path, 'w')
  const put = (at, bytes) => disk.write(bytes, 0, bytes.length, at)
  await disk.truncate(SIZE)
  for (const [at, bytes] of gpt(SIZE, PARTITIONS)) await put(at, bytes)
  await put(56 * MIB, Buffer.from(README))
  await put(57 * MIB, Buffer.from(NOTES.repeat(40)))
  await put(80 * MIB + 1052, Buffer.from('sample-swap'))
  await put(80 * MIB + 4086, Buffer.from('SWAPSPACE2'))
  await disk.close()

  const tree = join(folder, 'tree')
  mkdirSync(join(tree, 'poems'), { recursive: true })
  writeFileSync(join(tree, 'README.txt'), README)
  writeFileSync(join(tree, 'notes.txt'), NOTES.repeat(12))
  writeFileSync(join(tree, 'poems', 'limerick.txt'), LIMERICK)
  const [, home] = PARTITIONS
  const options = [
    ...['-q', '-F', '-t', 'ext4', '-L', 'home', '-m', '0', '-O', '^has_journal', '-N', '128', '-d', tree],
    ...[
      '-U',
      '6f1d2c3b-8a4e-4b6f-9d27-50a1c2e3f405',
      '-E',
      `offset=${home.start},hash_seed=6f1d2c3b-8a4e-4b6f-9d27-50a1c2e3f405`,
    ],
  ]
  run('mke2fs', ...options, path, `${home.length / 1024}k`)
}

function writeText(at, text) {
  const source = join(folder, 'text')
  writeFileSync(source, text)
  qemuIo(`write -s ${source} ${at} ${Math.ceil(text.length / 512) * 512}`)
}

function qemuIo(...commands) {
  run('qemu-io', '-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), output)
}

function run(program, ...args) {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, E2FSPROGS_FAKE_TIME: '1767225600' }
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env })
}
