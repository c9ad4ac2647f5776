import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { ViteDevServer } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildWithVite, buildWithWebpack, developWithVite, install, writeApp } from '../js/helpers/package.js'
import { contents, convert } from '../js/helpers/qemu.js'
import { patience } from './drivers/driver.js'

const bytes = contents(5_000_000 - (5_000_000 % 512), 77)
const image = convert('image.qcow2', bytes, '-c')
const expected = [...createHash('sha256').update(bytes).digest()]
const inverted = [
  ...createHash('sha256')
    .update(bytes.map((byte) => ~byte))
    .digest(),
]

let folder = ''
let server: Server
let browser: Browser
let developing: ViteDevServer | undefined
/** Where each build of the app is served. */
const apps: Record<string, string> = {}

/** What the app has seen of an image. */
interface Seen {
  readonly size?: number
  readonly sync?: boolean
  readonly whole?: number[]
  readonly streamed?: number[]
  readonly extents?: number
  readonly error?: string
}

beforeAll(async () => {
  folder = install()
  const address = await serve()
  const serving = (path: string) => address + path.slice(folder.length).replaceAll('\\', '/')
  developing = await developWithVite(writeApp(folder, 'developed'))
  apps['vite, while developing'] = developing.resolvedUrls?.local[0]?.replace(/\/$/, '') ?? ''
  apps.vite = serving((await buildWithVite(writeApp(folder, 'vite'))).out)
  apps.webpack = serving((await buildWithWebpack(writeApp(folder, 'webpack'))).out)
  apps['no bundler'] = serving(writeApp(folder, 'plain', '../node_modules/qcow2-web/dist/index.js'))
  apps['no bundler, the module within'] = serving(
    writeApp(folder, 'inline', '../node_modules/qcow2-web/dist/inline.js'),
  )
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  browser = await chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu'] })
}, 240_000)

afterAll(async () => {
  await browser?.close()
  await developing?.close()
  server?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Serves the folder as it is. */
async function serve(): Promise<string> {
  const types: Record<string, string> = {
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.mjs': 'text/javascript',
    '.wasm': 'application/wasm',
  }
  server = createServer(({ url = '/' }, response) => {
    const path = join(folder, decodeURI(new URL(url, 'http://localhost').pathname))
    try {
      const body = readFileSync(path)
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The app in a page of its own, with a file chosen. */
async function open(app: string, file: string): Promise<Page> {
  const page = await browser.newPage()
  page.setDefaultTimeout(patience)
  await page.goto(`${apps[app]}/index.html`)
  await page.getByText('ready').waitFor()
  await page.setInputFiles('input', file)
  return page
}

/** Lets the app look at the chosen file. */
function look(page: Page, where: 'look' | 'lookInWorker' | 'keep', options: object): Promise<Seen> {
  return page.evaluate(
    ([name, given]) => {
      const file = document.querySelector('input')?.files?.[0]
      return (window as unknown as Record<string, (...args: unknown[]) => Promise<Seen>>)[name]?.(file, given) ?? {}
    },
    [where, options] as const,
  )
}

describe.each(['vite', 'vite, while developing', 'webpack', 'no bundler', 'no bundler, the module within'])(
  'with %s',
  (app) => {
    it.each([
      ['on a page', 'look', false, false],
      ['in a worker', 'lookInWorker', false, false],
      ['in a worker, synchronously', 'lookInWorker', true, false],
      ['on a page, with the engine in a worker', 'look', false, true],
    ] as const)('a file is read, edited and created %s', async (_, where, sync, worker) => {
      const page = await open(app, image)
      const seen = await look(page, where, { sync, worker })
      expect(seen).toMatchObject({ size: bytes.length, sync, whole: expected, streamed: expected })
      expect(seen).toMatchObject({ edited: inverted, created: inverted })
      expect(seen.extents).toBeGreaterThan(2)
      await page.close()
    })

    it('a file is kept, by the worker that the package starts', async () => {
      const page = await open(app, image)
      expect(await look(page, 'keep', {})).toEqual({ whole: expected })
      await page.close()
    })
  },
)

describe('a file', () => {
  it('is not read synchronously on a page', async () => {
    const page = await open('no bundler', image)
    expect(await look(page, 'look', { sync: true })).toEqual({ error: 'INVALID_ARGUMENT' })
    await page.close()
  })

  it('that is no image is refused by name', async () => {
    writeFileSync(join(folder, 'text.txt'), 'no image at all')
    const page = await open('no bundler', join(folder, 'text.txt'))
    expect(await look(page, 'lookInWorker', {})).toEqual({ error: 'NOT_QCOW2' })
    await page.close()
  })

  it.each([
    ['on a page', 'look', {}],
    ['in a worker, synchronously', 'lookInWorker', { sync: true }],
    ['without read-ahead', 'look', { readAhead: false }],
  ] as const)(
    'that changes after it was chosen says so %s',
    async (_, where, options) => {
      const changing = join(folder, 'changing.qcow2')
      writeFileSync(changing, readFileSync(image))
      const page = await open('no bundler', changing)
      expect(await look(page, where, options)).toMatchObject({ whole: expected })
      appendFileSync(changing, 'more')
      expect(await look(page, where, options)).toEqual({ error: 'FILE_CHANGED' })
      await page.close()
    },
    60_000,
  )
})
