import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build as esbuild } from 'esbuild'
import { expect, it } from 'vitest'
import { buildWithVite } from '../js/helpers/package.js'
import { useInstalledPackage } from './installed.js'
import { base64, expected, page } from './lab.js'

const project = useInstalledPackage()

/** Reads an image over HTTP, one that the user picked, and one in the origin-private file system. */
const program = `
import { http, opfs, Qcow2, configure } from 'qcow2-web/read'

async function first(source) {
  const image = await Qcow2.open(source)
  const bytes = await image.read(0, 8)
  await image.close()
  return [...bytes].join()
}

async function stored(blob) {
  const root = await navigator.storage.getDirectory()
  const writable = await (await root.getFileHandle('read.qcow2', { create: true })).createWritable()
  await writable.write(blob)
  await writable.close()
  return opfs('read.qcow2')
}

globalThis.reads = async () => {
  const url = new URL('/disk.qcow2', location)
  const blob = await (await fetch(url)).blob()
  return [await first(http(url)), await first(blob), await first(await stored(blob))]
}
globalThis.configured = configure
`

function writeApp(name: string): string {
  const app = join(project.folder, name)
  mkdirSync(app)
  writeFileSync(join(project.folder, 'disk.qcow2'), Buffer.from(base64, 'base64'))
  writeFileSync(join(app, 'main.js'), program)
  writeFileSync(join(app, 'index.html'), page('./main.js'))
  return app
}

/** What the program on a page reads, and the modules of the package that the page asked for. */
async function readOn(path: string, reader?: string): Promise<{ read: string[]; modules: string[] }> {
  const opened = await project.browser.newPage()
  const modules: string[] = []
  opened.on('request', (request) => {
    if (request.url().endsWith('.wasm')) modules.push(request.url())
  })
  try {
    await opened.goto(`${project.site.url}/${path}/index.html`)
    await opened.waitForFunction(() => 'reads' in globalThis)
    const read = await opened.evaluate((address) => {
      const { reads, configured } = globalThis as unknown as {
        reads(): Promise<string[]>
        configured(given: { reader: string }): void
      }
      if (address) configured({ reader: address })
      return reads()
    }, reader)
    return { read, modules }
  } finally {
    await opened.close()
  }
}

const all = [expected, expected, expected]

it('Vite builds a page that reads with the module of the reader alone', async () => {
  const { out } = await buildWithVite(writeApp('vite-read'))
  const { read, modules } = await readOn(relative(project.folder, out))
  expect(read).toEqual(all)
  expect(modules).toEqual([expect.stringContaining('qcow2_web_reader_bg')])
})

it('esbuild builds one that needs a line for the module', async () => {
  const app = writeApp('esbuild-read')
  await esbuild({
    entryPoints: [join(app, 'main.js')],
    outfile: join(app, 'built', 'main.js'),
    bundle: true,
    format: 'esm',
    logLevel: 'error',
  })
  writeFileSync(join(app, 'built', 'index.html'), page('./main.js'))
  const reader = `${project.site.url}/node_modules/qcow2-web/dist/reader/generated/qcow2_web_reader_bg.wasm`
  expect(await readOn('esbuild-read/built', reader)).toEqual({ read: all, modules: [reader] })
  await expect(readOn('esbuild-read/built')).rejects.toThrow(/could not be loaded.*configure\(\{ reader: '/)
})

it('a page without a bundler loads four files and the module', async () => {
  const app = writeApp('plain-read')
  writeFileSync(join(app, 'main.js'), program.replace('qcow2-web/read', '../node_modules/qcow2-web/dist/read.js'))
  const opened = await project.browser.newPage()
  const files: string[] = []
  opened.on('request', (request) => {
    if (request.url().includes('/node_modules/')) files.push(request.url())
  })
  await opened.goto(`${project.site.url}/plain-read/index.html`)
  await opened.waitForFunction(() => 'reads' in globalThis)
  expect(await opened.evaluate(() => (globalThis as unknown as { reads(): Promise<string[]> }).reads())).toEqual(all)
  await opened.close()
  expect(files.length).toBeLessThanOrEqual(5)
})
