// The benchmark in Chromium of conversion: a disk of code and text into compressed clusters, packed by workers against packed
// by the one thread, beside `qemu-img convert -c` on the same machine.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MiB, measure, report, withPage } from './browser-lab.mjs'

const size = 64 * MiB
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-convert-'))
const disk = join(folder, 'code.raw')

/** Half machine code, half text: what disks are full of. */
function writeDisk() {
  const built = fileURLToPath(new URL('../../dist/', import.meta.url))
  const parts = ['generated/qcow2_web_bg.wasm', 'worker/worker.js'].map((name) => readFileSync(join(built, name)))
  const bytes = Buffer.alloc(size)
  for (let at = 0, piece = 0; at < size; piece += 1) {
    const part = parts[piece % 2]
    // Never the same bytes in the same place of a cluster.
    at += part.copy(bytes, at, (piece * 977) % 4096)
  }
  writeFileSync(disk, bytes)
}

/** What QEMU packs in a second, in MB. */
function qemu(compression) {
  const speeds = Array.from({ length: 5 }, () => {
    const began = performance.now()
    const options = ['-c', '-o', `compression_type=${compression}`]
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ...options, disk, join(folder, 'code.qcow2')])
    return size / 1000 / (performance.now() - began)
  })
  return speeds.sort((a, b) => a - b)[2]
}

try {
  writeDisk()
  await withPage(async (page) => {
    await page.setInputFiles('input', disk)
    console.log('                                        workers   one thread   ratio')
    for (const compression of ['zlib', 'zstd']) {
      for (const workers of [1, 2]) {
        const result = await measure(page, 'browser-convert-worker.mjs', 'converted', { compression, workers })
        report(`${compression}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`, result, 'MB/s')
        const [start] = result.starts.sort((a, b) => a - b)
        console.log(`  the first part is stored after ${start.toFixed(0)} ms at best`)
      }
      const speed = qemu(compression)
      console.log(`${compression}, qemu-img convert -c: ${speed.toFixed(0)} MB/s`)
    }
    return true
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
