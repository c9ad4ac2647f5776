// The benchmark in Chromium: images over the Blobs of files, in a worker, against the Blob of the raw disk read in pieces
// of the same size. Each figure is the median of several ratios of one run, the two sides taking turns.
import { execFileSync } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium as browsers } from 'playwright-core'
import { chromium, chromiumArguments } from '../../scripts/browser.mjs'

const MiB = 1024 * 1024
const diskSize = 512 * MiB
const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-bench-'))
const path = (name) => join(folder, name)

/** Writes a disk of noise: nothing in it can be compressed, nothing is zero. */
function writeRaw() {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16))
  const file = openSync(path('disk.raw'), 'w')
  const zeros = Buffer.alloc(MiB)
  for (let at = 0; at < diskSize; at += MiB) writeSync(file, cipher.update(zeros))
  closeSync(file)
}

function writeImages() {
  const qemuImg = (...args) => execFileSync('qemu-img', args, { cwd: folder })
  writeRaw()
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2')
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', 'large.qcow2', '1T')
}

/** Serves the built package and the worker. */
async function serve() {
  const types = {
    '.js': 'text/javascript',
    '.mjs': 'text/javascript',
    '.wasm': 'application/wasm',
    '.html': 'text/html',
  }
  // Clocks are finer there.
  const isolated = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
  const page = '<!doctype html><input type="file" multiple>'
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url ?? '/', 'http://localhost')
    try {
      const body = pathname === '/' ? page : readFileSync(join(root, pathname))
      response.writeHead(200, { 'content-type': types[extname(pathname)] ?? 'text/html', ...isolated }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, address: `http://127.0.0.1:${server.address().port}/` }
}

/** Runs one measurement of the worker on files that the page holds. */
function measure(page, name, options) {
  return page.evaluate(
    ([name, options]) =>
      new Promise((resolve, reject) => {
        const worker = new Worker('/tests/bench/browser-worker.mjs', { type: 'module' })
        worker.onmessage = ({ data }) => {
          worker.terminate()
          if (data.error) reject(new Error(data.error))
          else resolve(data)
        }
        worker.onerror = (event) => reject(new Error(event.message))
        const files = Object.fromEntries([...document.querySelector('input').files].map((file) => [file.name, file]))
        worker.postMessage({ name, options, files })
      }),
    [name, options],
  )
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Prints a row: what was measured, both sides, the median of their ratios, the target. */
function report(title, { ours, theirs }, unit, target) {
  const ratio = median(ours.map((value, index) => value / theirs[index]))
  const numbers = [median(ours), median(theirs)].map((value) => `${value.toFixed(0)} ${unit}`)
  const verdict = target === undefined ? '' : ratio >= target ? `≥ ${target} ok` : `≥ ${target} MISSED`
  console.log(
    [title.padEnd(34), ...numbers.map((text) => text.padStart(11)), ratio.toFixed(2).padStart(6), verdict].join('  '),
  )
  return target === undefined || ratio >= target
}

async function main() {
  writeImages()
  const { server, address } = await serve()
  const context = await browsers.launchPersistentContext(path('profile'), {
    executablePath: chromium(),
    args: chromiumArguments,
  })
  let good = true
  try {
    const page = context.pages()[0] ?? (await context.newPage())
    await page.goto(address)
    await page.setInputFiles('input', ['disk.raw', 'disk.qcow2', 'large.qcow2'].map(path))
    console.log('                                          qcow2     raw Blob   ratio  target')
    for (const [size, name, total] of [
      [64 * 1024, '64 KiB', 32 * MiB],
      [MiB, '1 MiB', 256 * MiB],
      [4 * MiB, '4 MiB', 512 * MiB],
    ]) {
      const result = await measure(page, 'sequential', { size, total })
      good = report(`sequential, ${name}`, result, 'MB/s', 0.9) && good
    }
    good = report('random 4 KiB, one at a time', await measure(page, 'random', { size: 4096 }), 'IOPS', 0.9) && good
    report('random 4 KiB, 16 at a time', await measure(page, 'random', { size: 4096, depth: 16 }), 'IOPS')
    report('random 4 KiB, readSync', await measure(page, 'randomSync', { size: 4096 }), 'IOPS')
    report(
      'sequential, 64 KiB, readSync',
      await measure(page, 'sequentialSync', { size: 65536, total: 32 * MiB }),
      'MB/s',
    )
    report('streamed, 1 MiB', await measure(page, 'streamed', { total: 256 * MiB }), 'MB/s')
    const { requests, milliseconds } = await measure(page, 'opening', {})
    good = requests <= 10 && good
    console.log(
      `opening 1 TiB of full tables: ${requests} requests (≤ 10), ${milliseconds.toFixed(0)} ms with the module's loading`,
    )
  } finally {
    await context.close()
    server.close()
  }
  if (!good) process.exitCode = 1
}

try {
  await main()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
