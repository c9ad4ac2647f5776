// Builds the package into dist/: Rust to wasm, wasm to a module with its glue, TypeScript to JavaScript and types.
// Steps whose inputs have not changed are skipped.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { filesUnder, fingerprint, inRoot, main, output, run, Stop, say, tool } from './lib.mjs'
import { setup } from './setup.mjs'
import { bindgen, bindgenVersion, required, target, wasmCargo } from './wasm.mjs'

/** What the package ships, and how large it may be at most. */
const shipped = { features: 'deflate,zstd,edit', gzipped: 450_000 }
/** The module that only reads, without zstd and encryption: the least that an image takes. */
const reader = { features: 'deflate', gzipped: 150_000 }

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
const wasmFile = 'qcow2_web_bg.wasm'
const generated = inRoot('src', 'js', 'generated')
const dist = inRoot('dist')

/** Builds everything that is not up to date. */
export function build() {
  if (module(shipped.features, generated)) report('qcow2-web', generated)
  typescript()
}

/** Holds the sizes of the module against their limits. */
export function checkSize() {
  const folder = inRoot('target', 'size')
  module(reader.features, folder)
  hold('shipped', generated, shipped)
  hold('the reader without zstd and encryption', folder, reader)
}

function hold(name, folder, limit) {
  const gzipped = report(name, folder)
  if (gzipped <= limit.gzipped) return
  throw new Stop(`The wasm (${name}) is ${kilobytes(gzipped)} gzipped; the limit is ${kilobytes(limit.gzipped)}.`)
}

/** Builds the wasm with its glue into `folder`; false if what is there is up to date. */
function module(features, folder) {
  const { kind, folder: cargoFolder } = required()
  const crates = ['src/engine', 'src/bridge'].flatMap((folder) =>
    filesUnder(folder, (file) => /\.(rs|toml)$/.test(file)),
  )
  const inputs = [...crates, 'Cargo.toml', 'Cargo.lock', 'scripts/build.mjs', 'scripts/wasm.mjs']
  const compiler = kind === 'rustup' ? output('rustc', ['--version']) : kind
  const stamp = fingerprint(inputs, features, compiler)
  if (stampOf(folder) === stamp) return false

  say(`building the wasm (${features})`)
  const build = ['build', '--quiet', '--profile=wasm', '--package', 'qcow2-web-bridge', '--lib']
  wasmCargo([...build, '--no-default-features', '--features', features])
  const program = bindgen()
  if (!program) throw new Stop(`wasm-bindgen ${bindgenVersion()} is missing: run \`npm run setup\`.`)
  staged(folder, stamp, (stage) => {
    const built = join(cargoFolder, target, 'wasm', 'qcow2_web_bridge.wasm')
    // The default path would be a second reference to the .wasm that bundlers follow: src/js/engine/module.ts has the one.
    const glue = ['--target', 'web', '--omit-default-module-path', '--out-dir', stage, '--out-name', 'qcow2_web']
    run(program, [...glue, built])
    const wasm = join(stage, wasmFile)
    const enable = proposals.map((name) => `--enable-${name}`)
    tool('binaryen', ['-O3', ...enable, '--strip-debug', '--strip-producers', '-o', wasm, wasm], { name: 'wasm-opt' })
    writeInline(stage, gzip(readFileSync(wasm)))
  })
  return true
}

/** The module once more, within JavaScript, for `qcow2-web/inline`. */
function writeInline(folder, gzipped) {
  const documentation = '/** The module, gzipped, as base64. */'
  writeFileSync(join(folder, 'inline.js'), `export const gzipped = '${gzipped.toString('base64')}'\n`)
  writeFileSync(join(folder, 'inline.d.ts'), `${documentation}\nexport declare const gzipped: string\n`)
}

function typescript() {
  const sources = filesUnder('src/js', (file) => !file.endsWith('.wasm'))
  const inputs = [...sources, 'tsconfig.json', 'package-lock.json', 'scripts/build.mjs']
  const stamp = fingerprint(inputs)
  if (stampOf(dist) === stamp) return

  say('compiling the TypeScript')
  staged(dist, stamp, (stage) => {
    tool('typescript', ['--project', inRoot('tsconfig.json'), '--outDir', stage], {
      name: 'tsc',
      otherwise: 'The TypeScript does not compile.',
    })
    // Only checks: an export without documentation is an error (typedocOptions in tsconfig.json).
    tool('typedoc', ['--logLevel', 'Warn'], { otherwise: 'The documentation of the exports is not complete.' })
    // The glue is JavaScript already: it goes next to what imports it as it is.
    cpSync(generated, join(stage, 'generated'), { recursive: true, filter: (file) => !file.endsWith('.stamp') })
  })
}

/** What `folder` was made from, if it was. */
function stampOf(folder) {
  const file = join(folder, '.stamp')
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** Makes the content of `folder` aside, so that the old one stays whole until the new one is. */
function staged(folder, stamp, make) {
  mkdirSync(inRoot('target'), { recursive: true })
  const stage = mkdtempSync(inRoot('target', 'stage-'))
  try {
    make(stage)
    rmSync(folder, { recursive: true, force: true })
    cpSync(stage, folder, { recursive: true })
    writeFileSync(join(folder, '.stamp'), stamp)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

/** Prints the size of a module, as it is and as servers send it. */
function report(name, folder) {
  const bytes = readFileSync(join(folder, wasmFile))
  const gzipped = gzip(bytes).length
  const brotli = brotliCompressSync(bytes).length
  say(`${name}: ${kilobytes(bytes.length)}, ${kilobytes(gzipped)} gzipped, ${kilobytes(brotli)} with brotli`)
  return gzipped
}

const gzip = (bytes) => gzipSync(bytes, { level: 9 })

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} KB`

await main(import.meta.url, async ([what]) => {
  await setup(['packages', 'wasm'])
  build()
  if (what === 'size') checkSize()
})
