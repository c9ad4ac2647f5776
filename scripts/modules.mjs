// The wasm modules of the package: Rust to wasm, and wasm to a module with its glue. What has not changed is not built.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { filesUnder, fingerprint, inRoot, output, run, Stop, say, tool } from './lib.mjs'
import { staged, stampOf } from './staged.mjs'
import { bindgen, bindgenVersion, required, target, wasmCargo } from './wasm.mjs'

const generated = inRoot('src', 'js', 'generated')
const generatedReader = inRoot('src', 'js', 'reader', 'generated')
const generatedFiles = inRoot('src', 'js', 'files', 'generated')
const generatedFat = inRoot('src', 'js', 'files', 'fat', 'generated')
const generatedLuks = inRoot('src', 'js', 'files', 'luks', 'generated')

const engine = {
  crate: 'qcow2-web-bridge',
  sources: ['src/engine', 'src/bridge'],
  profile: 'wasm',
  name: 'qcow2_web',
  optimise: ['-O3'],
}
/** The engine that the package ships, and how large it may be at most. */
export const shipped = {
  ...engine,
  features: 'deflate,zstd,edit',
  folder: generated,
  gzipped: 490_000,
  also: (folder, wasm) => {
    writeGlue(folder, engine.name)
    writeInline(folder, wasm)
  },
}
/** The engine that only reads, without encryption: what a page loads that changes nothing. */
export const reader = {
  ...engine,
  name: 'qcow2_web_reader',
  // Inlines less than -O3 does, which after compression is smaller.
  optimise: ['-O3', '-aimfs', '2', '-fimfs', '4', '-ocimfs', '4'],
  features: 'deflate,zstd',
  folder: generatedReader,
  gzipped: 138_000,
  also: (folder) => writeGlue(folder, reader.name),
}
/** The module for file systems, which is loaded when files are read. */
export const files = {
  crate: 'qcow2-web-files',
  sources: ['src/files', 'src/bridge/object.rs'],
  profile: 'files',
  name: 'qcow2_web_files',
  // Inlines less than -Oz does, and puts the functions of each crate next to each other: after compression that is smaller.
  optimise: ['-Oz', '-aimfs', '2', '-fimfs', '4', '-ocimfs', '4', '--reorder-functions-by-name'],
  features: 'wasm',
  folder: generatedFiles,
  gzipped: 300_000,
  also: writeArchives,
}

/** The module that plans changes of FAT volumes, which is loaded when one is changed. */
export const fat = {
  ...files,
  name: 'qcow2_web_fat',
  features: 'wasm-fat',
  folder: generatedFat,
  gzipped: 95_000,
  also: undefined,
}

/** The module that unlocks encrypted volumes, which is loaded when one is unlocked. */
export const luks = {
  crate: 'qcow2-web-luks',
  sources: ['src/luks', 'src/engine'],
  profile: 'wasm',
  name: 'qcow2_web_luks',
  optimise: ['-O3'],
  features: 'default',
  folder: generatedLuks,
  gzipped: 55_000,
}

/** Proposals that rustc uses for this target; wasm-opt wants them named. */
const proposals = [
  'bulk-memory',
  'bulk-memory-opt',
  'call-indirect-overlong',
  'multivalue',
  'mutable-globals',
  'nontrapping-float-to-int',
  'reference-types',
  'sign-ext',
  'simd',
]

/** Builds the modules that the package ships, if they are not up to date. */
export async function buildModules() {
  for (const each of [shipped, reader, files, fat, luks]) if (await module(each)) report(each)
}

/** Holds the sizes of the modules against their limits. */
export async function checkSize() {
  for (const each of [shipped, reader, files, fat, luks]) hold(each)
}

function hold(module) {
  const gzipped = report(module)
  if (gzipped <= module.gzipped) return
  const words = `is ${kilobytes(gzipped)} gzipped; the limit is ${kilobytes(module.gzipped)}`
  throw new Stop(`The wasm ${module.name} (${module.features}) ${words}.`)
}

/** Builds the wasm with its glue into its folder; false if what is there is up to date. */
async function module({ crate, sources, profile, name, optimise, features, folder, also }) {
  const { kind, folder: cargoFolder } = required()
  const crates = sources.flatMap((folder) => filesUnder(folder, (file) => /\.(rs|toml)$/.test(file)))
  const inputs = [...crates, 'Cargo.toml', 'Cargo.lock', 'scripts/modules.mjs', 'scripts/wasm.mjs']
  const compiler = kind === 'rustup' ? output('rustc', ['--version']) : kind
  const stamp = fingerprint(inputs, features, compiler)
  if (stampOf(folder) === stamp) return false

  say(`building the wasm ${name} (${features})`)
  const build = ['build', '--quiet', `--profile=${profile}`, '--package', crate, '--lib']
  wasmCargo([...build, '--no-default-features', '--features', features])
  const program = bindgen()
  if (!program) throw new Stop(`wasm-bindgen ${bindgenVersion()} is missing: run \`npm run setup\`.`)
  await staged(folder, stamp, (stage) => {
    const built = join(cargoFolder, target, profile, `${crate.replaceAll('-', '_')}.wasm`)
    // The default path would be a second reference to the .wasm that bundlers follow: the loader's source has the one.
    const glue = ['--target', 'web', '--omit-default-module-path', '--out-dir', stage, '--out-name', name]
    run(program, [...glue, built])
    const wasm = join(stage, `${name}_bg.wasm`)
    const enable = proposals.map((name) => `--enable-${name}`)
    const options = [...optimise, ...enable, '--strip-debug', '--strip-producers', '-o', wasm, wasm]
    tool('binaryen', options, { name: 'wasm-opt' })
    also?.(stage, wasm)
  })
  return true
}

/** The libraries that write archives, as one file: the package has no dependencies. */
function writeArchives(folder) {
  const libraries = { 'client-zip': 'makeZip', 'modern-tar': 'createTarPacker' }
  const entry = Object.entries(libraries).map(([library, name]) => `export { ${name} } from '${library}'`)
  const source = join(folder, 'entry.js')
  writeFileSync(source, entry.join('\n'))
  const licences = Object.keys(libraries).map((library) => {
    const { license, author } = JSON.parse(readFileSync(inRoot('node_modules', library, 'package.json'), 'utf8'))
    return `${library}, ${license} licence, by ${author?.name ?? author}`
  })
  const banner = `/*! Contains ${licences.join('; ')}. */`
  const options = ['--file', join(folder, 'archives.js'), '--format', 'esm', '--banner', banner, '--log-level', 'warn']
  tool('rolldown', [source, ...options], { otherwise: 'The libraries for archives could not be bundled.' })
  rmSync(source)
  writeFileSync(join(folder, 'archives.d.ts'), `${entry.join('\n')}\n`)
}

/**
 * The engine's glue as a function. wasm-bindgen's has one memory for all of its module's life; each call of this function makes
 * another one, with classes of its own, so that an engine that failed can be replaced.
 */
function writeGlue(folder, name) {
  const source = join(folder, `${name}.js`)
  const text = readFileSync(source, 'utf8')
  const classes = [...text.matchAll(/^export class (\w+)/gm)].map(([, name]) => name)
  const body = text
    .replaceAll(/^export (?=class )/gm, '')
    .replace(/^export \{ initSync, (__wbg_init) as default \};$/m, '')
  const known = ['__wbg_finalize_init', '__wbg_get_imports'].every((name) => body.includes(`function ${name}(`))
  if (classes.length === 0 || !known || /^(?:ex|im)port\b/m.test(body))
    throw new Stop('The glue of this wasm-bindgen has another form: adapt writeGlue in scripts/modules.mjs.')
  // The glue's own initialisation, which also fetches and compiles, is left to tree-shaking: a compiled module is all that is given.
  const instantiate = `async function instantiate({ module_or_path: module }) {
  if (wasm !== undefined) return wasm
  return __wbg_finalize_init(await WebAssembly.instantiate(module, __wbg_get_imports()), module)
}`
  const made = `${instantiate}\nreturn { instantiate, ${classes.join(', ')} }`
  writeFileSync(join(folder, 'glue.js'), `export function glue() {\n${body}\n${made}\n}\n`)
  rmSync(source)
  const members = classes.map((each) => `  readonly ${each}: typeof module.${each}`)
  const declarations = [
    `import type * as module from './${name}.js'`,
    '/** A memory of the engine, and the classes over it. */',
    'export interface Glue {',
    '  readonly instantiate: typeof module.default',
    ...members,
    '}',
    'export declare function glue(): Glue',
  ]
  writeFileSync(join(folder, 'glue.d.ts'), `${declarations.join('\n')}\n`)
}

/** The module once more, within JavaScript, for `qcow2-web/inline`. */
function writeInline(folder, wasm) {
  const gzipped = gzip(readFileSync(wasm))
  const documentation = '/** The module, gzipped, as base64. */'
  writeFileSync(join(folder, 'inline.js'), `export const gzipped = '${gzipped.toString('base64')}'\n`)
  writeFileSync(join(folder, 'inline.d.ts'), `${documentation}\nexport declare const gzipped: string\n`)
}

/** Prints the size of a module, as it is and as servers send it. */
function report({ name, features, folder }) {
  const bytes = readFileSync(join(folder, `${name}_bg.wasm`))
  const gzipped = gzip(bytes).length
  const brotli = brotliCompressSync(bytes).length
  say(
    `${name} (${features}): ${kilobytes(bytes.length)}, ${kilobytes(gzipped)} gzipped, ${kilobytes(brotli)} with brotli`,
  )
  return gzipped
}

const gzip = (bytes) => gzipSync(bytes, { level: 9 })

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} KB`
