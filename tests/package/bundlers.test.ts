import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build as esbuild } from 'esbuild'
import type { Browser } from 'playwright-core'
import { rollup } from 'rollup'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildWithVite, buildWithWebpack, developWithVite, install } from '../js/helpers/package.js'
import { browse, complete, completeWithFiles, page, program, programWithFiles, Site, tourOn, write } from './lab.js'

let folder = ''
let site: Site
let browser: Browser

beforeAll(async () => {
  folder = install()
  site = await Site.of(folder)
  browser = await browse()
})

afterAll(async () => {
  await browser?.close()
  site?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Bundles a program into the folder of its page. */
type Bundler = (entry: string, out: string) => Promise<unknown>

const bundlers: Record<string, Bundler> = {
  esbuild: (entry, out) =>
    esbuild({ entryPoints: [entry], outfile: join(out, 'main.js'), bundle: true, format: 'esm', logLevel: 'error' }),
  // Rollup itself finds no packages; the plugin for that is not part of what is tested.
  Rollup: async (entry, out) => {
    const resolveId = (id: string) => {
      const entryPoint = { 'qcow2-web': 'index.js', 'qcow2-web/inline': 'inline.js' }[id]
      return entryPoint && join(folder, 'node_modules/qcow2-web/dist', entryPoint)
    }
    const bundle = await rollup({ input: entry, plugins: [{ name: 'resolve', resolveId }] })
    return bundle.write({ file: join(out, 'main.js'), inlineDynamicImports: true })
  },
}

async function bundled(name: string, bundler: Bundler, source: string): Promise<string> {
  const out = join(folder, name)
  mkdirSync(out)
  writeFileSync(join(out, 'app.js'), source)
  await bundler(join(out, 'app.js'), out)
  writeFileSync(join(out, 'index.html'), page('./main.js'))
  return `${site.url}/${name}/index.html`
}

describe.each(Object.entries(bundlers))('%s', (name, bundler) => {
  it('needs one line, which the error names', async () => {
    const seen = await tourOn(browser, await bundled(`${name}-bare`, bundler, program('qcow2-web')))
    const wasm = /LOAD_FAILED|could not be loaded: the server answers 404.* 'qcow2-web\/inline'.*configure\(\{ wasm:/
    expect(seen.open).toMatch(wasm)
    const worker = /did not start: .* 'qcow2-web\/inline'.*configure\(\{ worker: '\/worker\.js' \}\)/
    expect(seen.opfs).toMatch(worker)
  })

  it('works with qcow2-web/inline, which needs no other file', async () => {
    const url = await bundled(`${name}-inline`, bundler, program('qcow2-web/inline'))
    expect(await tourOn(browser, url)).toEqual(complete)
  })

  it('works with the two files beside the page, where configure() says', async () => {
    const line = `import { configure } from 'qcow2-web'
      configure({ wasm: './qcow2_web_bg.wasm', worker: './worker.js' })`
    const url = await bundled(`${name}-configured`, bundler, `${program('qcow2-web')}\n${line}`)
    const dist = join(folder, 'node_modules/qcow2-web/dist')
    copyFileSync(join(dist, 'generated/qcow2_web_bg.wasm'), join(folder, `${name}-configured/qcow2_web_bg.wasm`))
    copyFileSync(join(dist, 'worker/worker.js'), join(folder, `${name}-configured/worker.js`))
    expect(await tourOn(browser, url)).toEqual(complete)
  })
})

/** Writes an app for a bundler that needs no configuration. */
function writeApp(name: string): string {
  const app = join(folder, name)
  write(app, { 'index.html': page('./main.js'), 'main.js': programWithFiles, 'tour.js': program('qcow2-web') })
  return app
}

describe.each([
  ['Vite', buildWithVite],
  ['webpack', buildWithWebpack],
])('%s', (name, build) => {
  it('needs nothing', async () => {
    const { out } = await build(writeApp(name))
    expect(await tourOn(browser, `${site.url}/${relative(folder, out)}/index.html`)).toEqual(completeWithFiles)
  })
})

it('Vite needs nothing while an app is developed', async () => {
  const server = await developWithVite(writeApp('developed'))
  try {
    expect(await tourOn(browser, `${server.resolvedUrls?.local[0]}index.html`)).toEqual(completeWithFiles)
  } finally {
    await server.close()
  }
})
