import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build as esbuild } from 'esbuild'
import { rollup } from 'rollup'
import { describe, expect, it } from 'vitest'
import { buildWithVite, buildWithWebpack, developWithVite } from '../js/helpers/package.js'
import { useInstalledPackage } from './installed.js'
import { complete, completeWithFiles, page, program, programWithFiles, tourOn, write } from './lab.js'

const project = useInstalledPackage()

/** Bundles a program into the folder of its page. */
type Bundler = (entry: string, out: string) => Promise<unknown>

const bundlers: Record<string, Bundler> = {
  esbuild: (entry, out) =>
    esbuild({ entryPoints: [entry], outfile: join(out, 'main.js'), bundle: true, format: 'esm', logLevel: 'error' }),
  // Rollup itself finds no packages; the plugin for that is not part of what is tested.
  Rollup: async (entry, out) => {
    const resolveId = (id: string) => {
      const entryPoint = { 'qcow2-web': 'index.js', 'qcow2-web/inline': 'inline.js' }[id]
      return entryPoint && join(project.folder, 'node_modules/qcow2-web/dist', entryPoint)
    }
    const bundle = await rollup({ input: entry, plugins: [{ name: 'resolve', resolveId }] })
    return bundle.write({ file: join(out, 'main.js'), inlineDynamicImports: true })
  },
}

async function bundled(name: string, bundler: Bundler, source: string): Promise<string> {
  const out = join(project.folder, name)
  mkdirSync(out)
  writeFileSync(join(out, 'app.js'), source)
  await bundler(join(out, 'app.js'), out)
  writeFileSync(join(out, 'index.html'), page('./main.js'))
  return `${project.site.url}/${name}/index.html`
}

describe.each(Object.entries(bundlers))('%s', (name, bundler) => {
  it('needs one line, which the error names', async () => {
    const seen = await tourOn(project.browser, await bundled(`${name}-bare`, bundler, program('qcow2-web')))
    const wasm = /LOAD_FAILED|could not be loaded: the server answers 404.* 'qcow2-web\/inline'.*configure\(\{ wasm:/
    expect(seen.open).toMatch(wasm)
    const worker = /did not start: .* 'qcow2-web\/inline'.*configure\(\{ worker: '\/worker\.js' \}\)/
    expect(seen.opfs).toMatch(worker)
  })

  it('works with qcow2-web/inline, which needs no other file', async () => {
    const url = await bundled(`${name}-inline`, bundler, program('qcow2-web/inline'))
    expect(await tourOn(project.browser, url)).toEqual(complete)
  })

  it('works with the two files beside the page, where configure() says', async () => {
    const line = `import { configure } from 'qcow2-web'
      configure({ wasm: './qcow2_web_bg.wasm', worker: './worker.js' })`
    const url = await bundled(`${name}-configured`, bundler, `${program('qcow2-web')}\n${line}`)
    const dist = join(project.folder, 'node_modules/qcow2-web/dist')
    copyFileSync(
      join(dist, 'generated/qcow2_web_bg.wasm'),
      join(project.folder, `${name}-configured/qcow2_web_bg.wasm`),
    )
    copyFileSync(join(dist, 'worker/worker.js'), join(project.folder, `${name}-configured/worker.js`))
    expect(await tourOn(project.browser, url)).toEqual(complete)
  })
})

/** Writes an app for a bundler that needs no configuration. */
function writeApp(name: string): string {
  const app = join(project.folder, name)
  write(app, { 'index.html': page('./main.js'), 'main.js': programWithFiles, 'tour.js': program('qcow2-web') })
  return app
}

describe.each([
  ['Vite', buildWithVite],
  ['webpack', buildWithWebpack],
])('%s', (name, build) => {
  it('needs nothing', async () => {
    const { out } = await build(writeApp(name))
    expect(await tourOn(project.browser, `${project.site.url}/${relative(project.folder, out)}/index.html`)).toEqual(
      completeWithFiles,
    )
  })
})

it('Vite needs nothing while an app is developed', async () => {
  const server = await developWithVite(writeApp('developed'))
  try {
    expect(await tourOn(project.browser, `${server.resolvedUrls?.local[0]}index.html`)).toEqual(completeWithFiles)
  } finally {
    await server.close()
  }
})
