import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build as esbuild } from 'esbuild'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { install } from '../js/helpers/package.js'
import { browse, complete, expected, page, program, Site, tourOn } from './lab.js'

let folder = ''
let browser: Browser
const sites: Site[] = []

beforeAll(async () => {
  folder = install()
  browser = await browse()
})

afterAll(async () => {
  await browser?.close()
  for (const site of sites) site.close()
  rmSync(folder, { recursive: true, force: true })
})

async function serve(path: string, headers?: Record<string, string>): Promise<string> {
  const site = await Site.of(path, headers)
  sites.push(site)
  return site.url
}

/** A folder with a page and its program. */
function write(name: string, source: string, head?: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  writeFileSync(join(path, 'main.js'), source)
  writeFileSync(join(path, 'index.html'), page('./main.js', head))
  return path
}

describe('a page without a bundler', () => {
  it('takes the package from another origin, by an import map', async () => {
    const cdn = await serve(join(folder, 'node_modules'))
    const map = JSON.stringify({ imports: { 'qcow2-web': `${cdn}/qcow2-web/dist/index.js` } })
    const path = write('cdn', program('qcow2-web'), `<script type="importmap">${map}</script>`)
    expect(await tourOn(browser, `${await serve(path)}/index.html`)).toEqual(complete)
  })

  it('makes few requests', async () => {
    write('few', program('../node_modules/qcow2-web/dist/index.js'))
    const url = await serve(folder)
    const opened = await browser.newPage()
    const requests: string[] = []
    opened.on('request', (request) => requests.push(request.url().slice(url.length)))
    await opened.goto(`${url}/few/index.html`)
    await opened.waitForFunction(() => 'tour' in globalThis)
    await opened.close()
    expect(requests.filter((path) => path.startsWith('/node_modules')).length).toBeLessThan(6)
  })

  it('works under a policy that allows WebAssembly and the page’s own scripts alone', async () => {
    write('strict', program('../node_modules/qcow2-web/dist/index.js'))
    const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"
    const url = await serve(folder, { 'content-security-policy': policy })
    expect(await tourOn(browser, `${url}/strict/index.html`)).toEqual(complete)
  })
})

describe('a page that is a file', () => {
  it('contains the package in one script', async () => {
    const path = write('file', program('qcow2-web/inline'))
    await esbuild({
      entryPoints: [join(path, 'main.js')],
      outfile: join(path, 'bundle.js'),
      bundle: true,
      format: 'iife',
      logLevel: 'silent',
    })
    writeFileSync(join(path, 'index.html'), '<!doctype html><body><script src="./bundle.js"></script></body>')
    const seen = await tourOn(browser, pathToFileURL(join(path, 'index.html')).href)
    expect(seen).toMatchObject({ open: expected, worker: expected })
  })

  it('loads the package as files where the browser lets it', async () => {
    const path = write('files', program('../node_modules/qcow2-web/dist/index.js'))
    const other = await browse('--allow-file-access-from-files')
    try {
      const seen = await tourOn(other, pathToFileURL(join(path, 'index.html')).href)
      expect(seen).toMatchObject({ open: expected, worker: expected })
    } finally {
      await other.close()
    }
  })
})
