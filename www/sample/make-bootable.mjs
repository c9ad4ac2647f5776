#!/usr/bin/env node
/**
 * Makes the sample that the page can boot, public/bootable.qcow2. Needs qemu-img. The result is committed, so that a build needs
 * none of it.
 */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bootSector } from './bootable.mjs'

const output = fileURLToPath(new URL('../public/bootable.qcow2', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-bootable-'))
try {
  const raw = join(folder, 'disk.raw')
  const disk = Buffer.alloc(1024 * 1024)
  bootSector().copy(disk)
  writeFileSync(raw, disk)
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-o', 'cluster_size=4k', raw, output])
  execFileSync('qemu-img', ['check', '-q', output])
} finally {
  rmSync(folder, { recursive: true })
}
