// The JavaScript and the declarations of the package: a handful of files out of the many of src/js.
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { transform } from 'esbuild'
import { rolldown } from 'rolldown'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'
import { inRoot } from './lib.mjs'

const src = inRoot('src', 'js')
/** The entry points, which the package's `exports` name. */
const published = [
  'index',
  'inline',
  'read',
  'hosts/v86',
  'hosts/emscripten',
  'hosts/serve',
  'hosts/infinite-mac',
  'hosts/chunks',
  'files/index',
]
/** What the entry points above share is in one file, except what this one needs: a page that only reads loads nothing else. */
const smallest = 'read'
/** What it alone imports is in its own file. */
const ofSmallest = /[\\/](read|reading|image[\\/]reader)\.ts$/
const programs = ['cli/main']
/** The scripts of workers: one file each, which can be copied to where a page needs it. */
const workers = ['worker/worker', 'files/worker']

const modules = (names) => Object.fromEntries(names.map((name) => [name, join(src, `${name}.ts`)]))

/** Writes the worker's script as a string, for `qcow2-web/inline`. */
export async function writeInlineWorker(folder) {
  const [chunk] = await bundled(['worker/worker'])
  // A classic script: pages that are files start no worker from a module in a Blob.
  const { code } = await small(chunk, 'iife')
  const documentation = "/** The worker's script. */"
  writeFileSync(join(folder, 'inline-worker.js'), `export const script = ${JSON.stringify(code)}\n`)
  writeFileSync(join(folder, 'inline-worker.d.ts'), `${documentation}\nexport declare const script: string\n`)
}

/** Writes the scripts into `folder`, each with its source map. */
export async function writeScripts(folder) {
  const chunks = [
    await bundled([...published, ...programs]),
    ...(await Promise.all(workers.map((name) => bundled([name])))),
  ]
  for (const chunk of chunks.flat()) {
    const { code, map } = await small(chunk)
    const file = join(folder, chunk.fileName)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${code}//# sourceMappingURL=${basename(file)}.map\n`)
    writeFileSync(`${file}.map`, withoutGenerated(map))
  }
}

/** The map without the text of what the build generates, which is long and of no use. */
function withoutGenerated(map) {
  const { sourcesContent, ...rest } = JSON.parse(map)
  const texts = sourcesContent.map((text, index) => (/generated/.test(rest.sources[index]) ? null : text))
  return JSON.stringify({ ...rest, sourcesContent: texts })
}

/**
 * Writes the declarations of the entry points into `folder`, rolled up. They work with TypeScript 5.4 and later, and without
 * the types of browsers.
 *
 * @param compiled where the compiler put a declaration file beside each source.
 */
export async function writeDeclarations(compiled, folder) {
  const names = [...published, 'worker/worker']
  const input = Object.fromEntries(names.map((name) => [name, join(compiled, `${name}.d.ts`)]))
  // The script of the workers exports nothing.
  const onwarn = (warning, warn) => warning.code !== 'EMPTY_BUNDLE' && warn(warning)
  const bundle = await rollup({ input, plugins: [dts()], external: /^node:/, onwarn })
  for (const kind of ['ts', 'cts']) {
    await bundle.write({
      dir: folder,
      format: 'es',
      entryFileNames: `[name].d.${kind}`,
      chunkFileNames: ({ name }) => `chunks/${name.replace(/\.d$/, '')}.d.${kind}`,
      plugins: [portable],
    })
  }
  await bundle.close()
  writeFileSync(join(folder, 'platform.d.ts'), platform)
}

/** Writes what `require` gets: each entry point again, as CommonJS over the same module. */
export function writeRequired(folder) {
  for (const name of [...published, 'worker/worker']) {
    writeFileSync(join(folder, `${name}.cjs`), `module.exports = require('./${basename(name)}.js')\n`)
  }
}

const portable = {
  name: 'portable',
  renderChunk(code, { fileName }) {
    const reference = `/// <reference path="${'../'.repeat(fileName.split('/').length - 1) || './'}platform.d.ts" />`
    // Before TypeScript 5.7 the arrays have no type parameter; what `slice` returns is the same type in all releases.
    return `${reference}\n${code.replace(/\b(Uint\d+Array)<ArrayBuffer>/g, 'ReturnType<$1["slice"]>')}`
  },
}

/** The types of the platform that the declarations name. */
const names = [
  'AbortSignal',
  'AddEventListenerOptions',
  'Blob',
  'Event',
  'File',
  'FileSystemFileHandle',
  'ReadableStream<R = any>',
  'Request',
  'RequestInit',
  'Response',
  'URL',
  'Worker',
  'WritableStream<W = any>',
]
const platform = `// The names of the platform that the package's types mention. They add nothing to the types of a browser or of Node.
/// <reference lib="esnext.disposable" />
${names.map((name) => `interface ${name} {}`).join('\n')}
declare namespace WebAssembly {
  interface Module {}
}
`

async function bundled(names) {
  const options = { cwd: inRoot(), platform: 'browser', external: /^node:/ }
  const shared = names.includes(smallest) ? await modulesOf(smallest, options) : new Set()
  const bundle = await rolldown({ ...options, input: modules(names) })
  const { output } = await bundle.generate({
    format: 'es',
    sourcemap: 'inline',
    comments: { jsdoc: false },
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name].js',
    codeSplitting: names.length > 1 ? { groups: groups(shared) } : false,
  })
  await bundle.close()
  return output
}

/** The modules that are in an entry point which is bundled alone. */
async function modulesOf(name, options) {
  const bundle = await rolldown({ ...options, input: modules([name]) })
  const { output } = await bundle.generate({ format: 'es' })
  await bundle.close()
  return new Set(output.flatMap(({ moduleIds = [] }) => moduleIds).filter((id) => !ofSmallest.test(id)))
}

const ofEngine =
  /js[\\/](index\.ts|base[\\/]beside\.ts|(disk|storage|engine|worker|image|file|convert|generated)[\\/](?!inline))/

/** What entry points share; the modules of `reading` are in a file of their own. */
const groups = (reading) => [
  // All are one folder deep, as in the sources: the addresses in them are relative to them.
  { name: 'beside-files', test: /files[\\/]beside\.ts$/, priority: 2 },
  { name: 'reader', test: (id) => reading.has(id), priority: 2 },
  { name: 'base', test: /js[\\/]base[\\/](?!beside)/, priority: 1 },
  {
    name: 'engine',
    test: (id) => !ofSmallest.test(id) && ofEngine.test(id),
  },
]

/**
 * A chunk made small, and its map. Lines stay short, for Node prints the line of an uncaught error; but not where they would cut an
 * address, which bundlers look for.
 */
async function small({ code }, format = 'esm') {
  const options = { format, minify: true, sourcemap: 'external', target: 'es2022', legalComments: 'inline' }
  const short = await transform(code, { ...options, lineLimit: 500 })
  return /new URL\("[^"]*\\\n/.test(short.code) ? transform(code, options) : short
}
