// What the benchmarks in browsers share: the files, the browser, the rows; `--browser firefox` takes Firefox instead of Chromium. Each figure is the median of several ratios of
// one run, the two sides taking turns.
import { execFileSync } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium as browsers } from 'playwright-core'
import puppeteer from 'puppeteer-core'
import { chromium, chromiumArguments, firefox } from '../../scripts/browser.mjs'

export const MiB = 1024 * 1024
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

/** A link of 100 Mbit/s, 20 ms away, which all answers share. */
class Link {
  #free = 0

  async send(response, bytes) {
    await sleep(20)
    for (let at = 0; at < bytes.length && !response.destroyed; at += 65_536) {
      const chunk = bytes.subarray(at, at + 65_536)
      this.#free = Math.max(this.#free, performance.now()) + chunk.length / 12_500
      response.write(chunk)
      await sleep(this.#free - performance.now())
    }
    response.end()
  }
}

/** Serves the built package and the workers, and below `/far/` the images, over a slow link. */
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
  const link = new Link()
  const far = (name, { headers }, response) => {
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    const { size } = statSync(path(name))
    const [first, last] = [Number(start), Math.min(Number(end), size - 1)]
    const bytes = Buffer.alloc(last - first + 1)
    const file = openSync(path(name), 'r')
    readSync(file, bytes, 0, bytes.length, first)
    closeSync(file)
    response.writeHead(206, {
      'content-range': `bytes ${first}-${last}/${size}`,
      'content-length': bytes.length,
      etag: '"1"',
      ...isolated,
    })
    void link.send(response, bytes)
  }
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname.startsWith('/far/')) {
      far(pathname.slice('/far/'.length), request, response)
      return
    }
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

/** Opens a page of Chromium; `close` ends the browser. */
async function openChromium(address) {
  const options = { executablePath: chromium(), args: chromiumArguments }
  const context = await browsers.launchPersistentContext(path('profile'), options)
  const page = context.pages()[0] ?? (await context.newPage())
  await page.goto(address)
  return { page, close: () => context.close() }
}

/** The same of Firefox, with as much of Playwright's page as is used here. */
async function openFirefox(address) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: firefox(),
    userDataDir: path('profile'),
    protocolTimeout: 0,
  })
  const page = await browser.newPage()
  await page.goto(address)
  return {
    page: {
      evaluate: (work, given) => page.evaluate(work, given),
      setInputFiles: async (selector, files) => (await page.$(selector)).uploadFile(...[files].flat()),
    },
    close: () => browser.close(),
  }
}

/** Calls `use` with a page of the browser that has the files; removes everything behind it. It is to say whether all is well. */
export async function withPage(use) {
  try {
    writeImages()
    const { server, address } = await serve()
    const { values } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' } }, strict: false })
    const { page, close } = await (values.browser === 'firefox' ? openFirefox : openChromium)(address)
    try {
      await page.setInputFiles('input', ['disk.raw', 'disk.qcow2', 'large.qcow2'].map(path))
      if (!(await use(page))) process.exitCode = 1
    } finally {
      await close()
      server.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs one measurement of a worker on files that the page holds. */
export function measure(page, script, name, options) {
  return page.evaluate(
    ([script, name, options]) =>
      new Promise((resolve, reject) => {
        const worker = new Worker(`/tests/bench/${script}`, { type: 'module' })
        worker.onmessage = ({ data }) => {
          worker.terminate()
          if (data.error) reject(new Error(data.error))
          else resolve(data)
        }
        worker.onerror = (event) => reject(new Error(event.message))
        const files = Object.fromEntries([...document.querySelector('input').files].map((file) => [file.name, file]))
        worker.postMessage({ name, options, files })
      }),
    [script, name, options],
  )
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Prints a row: what was measured, both sides, the median of their ratios, the target, and what part of it is reached. */
export function report(title, { ours, theirs }, unit, target) {
  const ratio = median(ours.map((value, index) => value / theirs[index]))
  const numbers = [median(ours), median(theirs)].map((value) => `${value.toFixed(0)} ${unit}`)
  const part = target === undefined ? '' : `, ${(ratio / target).toFixed(2)} of it`
  const verdict = target === undefined ? '' : `≥ ${target} ${ratio >= target ? 'ok' : 'MISSED'}${part}`
  console.log(
    [title.padEnd(34), ...numbers.map((text) => text.padStart(11)), ratio.toFixed(2).padStart(6), verdict].join('  '),
  )
  return target === undefined || ratio >= target
}
