import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { run } from '../../src/js/cli/run.js'
import { chromiumArguments } from './drivers/chromium'
import { patience } from './drivers/driver'
import { fact } from './page-lab'

const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-serve-'))
const viewer = join(folder, 'viewer')
// As the package has it.
beforeAll(() => void execFileSync(process.execPath, ['scripts/viewer.mjs', viewer]))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs `serve` while `use` does something with the address that it prints. */
async function serving(args: string[], use: (url: URL) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  let printed: (url: URL) => void
  const address = new Promise<URL>((resolve) => {
    printed = resolve
  })
  const host = {
    cwd: folder,
    viewer,
    signal: stop.signal,
    out: (text: string) => printed(new URL(text.trim())),
    err() {},
  }
  const ended = run(['serve', ...args], host, '0.0.0')
  try {
    await use(await address)
  } finally {
    stop.abort()
  }
  expect(await ended).toBe(0)
}

const imageOf = (url: URL) => new URLSearchParams(url.hash.slice(1)).get('image') ?? ''

it('shows a disk with its backing file in the viewer', async () => {
  mkdirSync(join(folder, 'sub'))
  const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { cwd: folder })
  qemuImg('create', '-q', '-f', 'qcow2', 'base.qcow2', '5M')
  qemuImg('create', '-q', '-f', 'qcow2', '-b', '../base.qcow2', '-F', 'qcow2', 'sub/a disk.qcow2')
  await serving(['sub/a disk.qcow2'], async (url) => {
    expect(url.hostname).toBe('127.0.0.1')
    const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
    const browser = await chromium.launch({ executablePath, args: chromiumArguments })
    try {
      const page = await browser.newPage()
      page.setDefaultTimeout(patience)
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(String(error)))
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
      await page.goto(url.href)
      await page.getByRole('button', { name: 'Read it from' }).click()
      expect(await fact(page, 'virtual-size')).toBe(String(5 * 2 ** 20))
      expect(complaints).toEqual([])
    } finally {
      await browser.close()
    }
  })
})

it('sends the files of the chain, parts of them, and nothing else', async () => {
  copyFileSync(join(viewer, 'index.html'), join(folder, 'other.txt'))
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', 'one.qcow2', '1M'], { cwd: folder })
  await serving(['one.qcow2'], async (url) => {
    const image = imageOf(url)
    const whole = await fetch(image)
    expect(Buffer.from(await whole.arrayBuffer())).toEqual(readFileSync(join(folder, 'one.qcow2')))
    const etag = whole.headers.get('etag') ?? ''
    const part = (range: string, condition = etag) => fetch(image, { headers: { range, 'if-range': condition } })
    const first = await part('bytes=0-3')
    expect([first.status, first.headers.get('content-range'), await first.text()]).toEqual([
      206,
      `bytes 0-3/${whole.headers.get('content-length')}`,
      'QFI\ufffd',
    ])
    expect((await part('bytes=-8')).headers.get('content-length')).toBe('8')
    expect((await part('bytes=0-3', '"another"')).status).toBe(200)
    expect((await part('bytes=99999999-')).status).toBe(416)
    const status = async (address: string, init?: RequestInit) => (await fetch(address, init)).status
    expect(await status(image.replace('one.qcow2', 'other.txt'))).toBe(404)
    expect(await status(new URL(join(folder, 'one.qcow2'), url).href)).toBe(404)
    expect(await status(`${url.origin}/..%2f..%2fpackage.json`)).toBe(404)
    expect(await status(image, { method: 'PUT', body: 'x' })).toBe(405)
    expect(await status(`${url.origin}/emulator/`)).toBe(404)
    for (const module of ['qcow2_web', 'qcow2_web_reader', 'qcow2_web_files', 'qcow2_web_fat', 'qcow2_web_luks']) {
      expect(await status(`${url.origin}/assets/${module}_bg-Ab3_-x.wasm`)).toBe(200)
    }
    expect((await fetch(url.origin)).headers.get('content-security-policy')).toContain("connect-src 'self'")
  })
})
