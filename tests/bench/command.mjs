// The command against qemu-img, on the same files and in turns: wall time, the median of several runs.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, copyFileSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeFile, Qcow2 } from '../../dist/index.js'

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const mebibytes = Number(process.argv[2] ?? 512)
const runs = Number(process.argv[3] ?? 3)
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-bench-'))
const at = (name) => join(folder, name)
const qemuImg = (...args) => execFileSync('qemu-img', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
const ours = (...args) =>
  execFileSync(process.execPath, [command, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })

/** Writes a disk: of four mebibytes one is noise, two are text that compresses, and one is a hole. */
function writeDisk(name, seed) {
  const file = openSync(at(name), 'w')
  const words = Array.from({ length: 4096 }, () => randomBytes(8))
  for (let piece = 0; piece < mebibytes; piece += 1) {
    if (piece % 4 === 3) continue
    const bytes = piece % 4 === 0 ? randomBytes(1 << 20) : textOf(words, piece + seed)
    writeSync(file, bytes, 0, bytes.length, piece * (1 << 20))
  }
  writeSync(file, new Uint8Array(1), 0, 1, mebibytes * (1 << 20) - 1)
  closeSync(file)
}

function textOf(words, seed) {
  const bytes = Buffer.alloc(1 << 20)
  for (let offset = 0, state = seed; offset < bytes.length; offset += 8) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    words[state >>> 20].copy(bytes, offset)
  }
  return bytes
}

const convert = (...options) => ({ args: ['convert', ...options, 'out'], outputs: ['out'] })
/** What is measured: the arguments, the files that are written anew, and those that a run changes. */
const cases = {
  'convert raw to qcow2': convert('-f', 'raw', '-O', 'qcow2', 'disk.raw'),
  'convert qcow2 to raw': convert('-O', 'raw', 'plain.qcow2'),
  'convert to zlib': convert('-c', '-f', 'raw', '-O', 'qcow2', 'disk.raw'),
  'convert from zlib': convert('-O', 'raw', 'zlib.qcow2'),
  'convert to zstd': convert('-c', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', 'disk.raw'),
  'convert from zstd': convert('-O', 'raw', 'zstd.qcow2'),
  'compare qcow2 with raw': { args: ['compare', '-F', 'raw', 'plain.qcow2', 'disk.raw'] },
  measure: { args: ['measure', '-O', 'qcow2', 'plain.qcow2'] },
  commit: { args: ['commit', 'overlay.qcow2'], changed: ['overlay.qcow2', 'base.qcow2'] },
  rebase: { args: ['rebase', '-b', 'other.qcow2', '-F', 'qcow2', 'overlay.qcow2'], changed: ['overlay.qcow2'] },
}

function prepare() {
  writeDisk('disk.raw', 1)
  writeDisk('other.raw', 2)
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'plain.qcow2')
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'zlib.qcow2')
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', 'disk.raw', 'zstd.qcow2')
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'base.qcow2')
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'other.raw', 'other.qcow2')
  // The overlay has a half of another disk.
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'overlay.qcow2')
  const half = (mebibytes / 2) * (1 << 20)
  execFileSync('qemu-io', ['-c', `write -q -s ${at('other.raw')} 0 ${half}`, at('overlay.qcow2')])
}

function timed(run, { args, outputs = [], changed = [] }) {
  for (const name of outputs) rmSync(at(name), { force: true })
  for (const name of changed) copyFileSync(at(name), at(`${name}.kept`), constants.COPYFILE_FICLONE)
  const began = performance.now()
  run(...args)
  const milliseconds = performance.now() - began
  for (const name of changed) copyFileSync(at(`${name}.kept`), at(name), constants.COPYFILE_FICLONE)
  return milliseconds
}

/** Compacts an image with half its clusters freed, which qemu-img cannot do in place; it converts into another file. */
async function compaction() {
  const [theirs, own] = [[], []]
  for (let run = 0; run < runs; run += 1) {
    copyFileSync(at('plain.qcow2'), at('holes.qcow2'), constants.COPYFILE_FICLONE)
    const image = await Qcow2.open(nodeFile(at('holes.qcow2'), { writable: true }), { writable: true })
    for (let piece = 0; piece < mebibytes; piece += 2) await image.discard(piece * (1 << 20), 1 << 20)
    await image.flush()
    theirs.push(timed(qemuImg, convert('-O', 'qcow2', 'holes.qcow2')))
    const began = performance.now()
    await image.compact()
    own.push(performance.now() - began)
    await image.close()
  }
  return [theirs, own]
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

function report(name, theirs, own) {
  const [one, other] = [median(theirs), median(own)]
  const time = (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`.padStart(12)
  console.log(`${name.padEnd(24)}${time(one)}${time(other)}${(other / one).toFixed(2).padStart(8)}`)
}

try {
  prepare()
  console.log(`${mebibytes} MiB, the median of ${runs} runs\n`)
  console.log(`${''.padEnd(24)}${'qemu-img'.padStart(12)}${'qcow2-web'.padStart(12)}${'ratio'.padStart(8)}`)
  for (const [name, each] of Object.entries(cases)) {
    const [theirs, own] = [[], []]
    for (let run = 0; run < runs; run += 1) {
      theirs.push(timed(qemuImg, each))
      own.push(timed(ours, each))
    }
    report(name, theirs, own)
  }
  report('compact, or convert', ...(await compaction()))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
