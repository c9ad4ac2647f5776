// `npm test`: sets up what is missing and runs every step, or those that are named: `npm test -- rust js`.
import { readFileSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { chromedriver, chromium, firefox as firefoxProgram, miniBrowser } from './browser.mjs'
import { build } from './build.mjs'
import { buildDocs } from './docs.mjs'
import { formatted, inRoot, main, manifests, run, Stop, say, seconds, tool } from './lib.mjs'
import { checkSize } from './modules.mjs'
import { setup } from './setup.mjs'
import { bareTarget, bindgen, hasTarget, toolchain, wasmCargo } from './wasm.mjs'
import { weigh } from './weigh.mjs'

/** Every step in its order: what it does, the groups that setup brings for it, and how it runs. */
const steps = {
  check: { title: 'format and lint', needs: ['rust', 'packages'], run: check },
  rust: { title: 'Rust, with QEMU on the other side', needs: ['rust', 'qemu', 'machine', 'filesystems'], run: rust },
  bare: { title: 'the core without std', needs: ['wasm'], run: bare },
  wasm: { title: 'the bridge and the ciphers in Chromium', needs: ['runner', 'browser'], run: wasm },
  build: { title: 'the package and its size', needs: ['packages', 'wasm'], run: packageAndSize },
  types: { title: 'types of the tests and the page', needs: ['packages', 'wasm'], run: types },
  js: {
    title: 'the package in Node and in bundlers',
    needs: ['packages', 'wasm', 'qemu', 'server', 'machine', 'filesystems'],
    run: js,
  },
  browser: {
    title: 'the package and the page in Chromium',
    needs: ['packages', 'wasm', 'qemu', 'browser', 'server', 'machine', 'firmware', 'filesystems'],
    run: browser,
  },
  firefox: {
    title: 'the package in Firefox',
    needs: ['packages', 'wasm', 'qemu', 'server', 'firefox'],
    run: firefox,
  },
  webkit: {
    title: 'the package in WebKitGTK',
    needs: ['packages', 'wasm', 'qemu', 'server', 'webkit'],
    run: webkit,
  },
  guests: {
    title: 'Linux in an emulator, from disks of the package (some minutes; KILLS sets how often the browser is killed)',
    needs: ['packages', 'wasm', 'qemu', 'browser', 'firefox', 'server', 'machine', 'guest'],
    run: guests,
    byHand: true,
  },
  package: {
    title: 'what npm would publish, in projects that install it (`--all`: also those that install much themselves)',
    needs: ['packages', 'wasm', 'qemu', 'browser'],
    run: packageChecks,
  },
  docs: { title: 'the documentation of the Rust, and the site', needs: ['rust', 'packages', 'wasm'], run: docs },
  fuzz: { title: 'a short run of every fuzz target', needs: ['rust'], run: fuzz },
}

/** Cargo with the native toolchain; the lock file must be up to date, so that all test the same. */
const cargo = ([command, ...args], options) => run('cargo', [command, '--locked', ...args], options)

function check() {
  for (const manifest of formatted) {
    run('cargo', ['fmt', '--all', '--check', '--manifest-path', manifest], {
      otherwise: 'The Rust is not formatted: run `npm run format`.',
    })
  }
  tool('@biomejs/biome', ['check', '--error-on-warnings'], {
    name: 'biome',
    otherwise: 'Biome found something in the TypeScript, JSON or CSS: `npm run format` fixes what can be fixed.',
  })
  for (const manifest of manifests) {
    const args = ['clippy', '--quiet', '--all-targets', '--manifest-path', manifest, '--', '-D', 'warnings']
    cargo(args, { otherwise: `Clippy found something in the crate of ${manifest}.` })
  }
}

function rust() {
  const packages = ['qcow2-web', 'qcow2-web-files', 'qcow2-web-luks', 'qcow2-web-tests']
  cargo(['test', '--quiet', ...packages.flatMap((name) => ['--package', name])])
  // The other deflate: alone, and through the tests of compressed clusters.
  const other = ['--no-default-features', '--features']
  cargo(['test', '--quiet', '--package', 'qcow2-web', '--lib', ...other, 'std,miniz'])
  const compressed = ['interop::compressed', 'hostile::compressed']
  cargo(['test', '--quiet', '--package', 'qcow2-web-tests', ...other, 'miniz,zstd,luks', '--', ...compressed])
}

/** Builds the core with `core` and `alloc` only: for a target that has no `std`, or by building nothing else. */
function bare() {
  const features = ['--no-default-features', '--features', 'miniz,zstd']
  const args = ['build', '--quiet', '--package', 'qcow2-web', '--lib', ...features]
  if (hasTarget(bareTarget)) return cargo([...args, '--target', bareTarget])
  wasmCargo(args, { std: 'core,alloc' })
}

function wasm() {
  const bridge = ['--package', 'qcow2-web-bridge', '--test', 'wasm']
  // Debian's Rust for the web has no clippy.
  if (toolchain().kind === 'rustup') {
    const reader = ['--package', 'qcow2-web-bridge', '--no-default-features', '--features', 'deflate,zstd']
    for (const what of [bridge, reader]) {
      const args = ['clippy', '--quiet', ...what, '--lib', '--', '-D', 'warnings']
      wasmCargo(args, { otherwise: 'Clippy found something in the bridge.' })
    }
  }
  const env = {
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: bindgen('wasm-bindgen-test-runner'),
    CHROMEDRIVER: chromedriver(),
    // Last, for that folder may hold another Rust.
    PATH: [process.env.PATH, dirname(chromium())].join(delimiter),
  }
  const engine = [
    '--package',
    'qcow2-web',
    '--no-default-features',
    '--features',
    'deflate,zstd,compress,simd,luks',
    '--lib',
  ]
  wasmCargo(['test', ...engine], { env })
  wasmCargo(['test', ...bridge], { env })
}

async function packageAndSize() {
  await build()
  await weigh()
  await checkSize()
}

async function types() {
  await build()
  for (const project of ['tests', 'www'])
    tool('typescript', ['--noEmit', '--project', inRoot(project)], { name: 'tsc' })
}

function vitest(folder, { args = [], env } = {}) {
  tool('vitest', ['run', '--dir', folder, ...args], { env })
}

async function js() {
  await build()
  vitest('tests/js')
}

async function browser() {
  await build()
  vitest('tests/browser', { env: { CHROMIUM: chromium() } })
}

/** Tests that are driven by what Chromium alone has here. */
const chromiumAlone = ['page*', 'package*']
/** Tests that take long, and of what browsers hardly differ in: there by hand, as `TEST_BROWSER=firefox npx vitest run nginx`. */
const long = ['nginx', 'range-cache', 'convert', 'emulator', 'emulator-example', 'service-worker']
/** Tests of what is kept: WebKitGTK has no origin-private file system, and keeps nothing when it is driven. */
const keeping = ['odd-arguments', 'opfs', 'quota', 'restart', 'killed']

const without = (names) => names.flatMap((name) => ['--exclude', `**/${name}.test.ts`])

async function firefox() {
  await build()
  const env = { TEST_BROWSER: 'firefox', FIREFOX: firefoxProgram() }
  vitest('tests/browser', { args: without([...chromiumAlone, ...long]), env })
}

async function webkit() {
  if (process.platform !== 'linux') return say('not here: WebKitGTK is a browser of Linux')
  await build()
  const env = { TEST_BROWSER: 'webkit', MINIBROWSER: miniBrowser() }
  vitest('tests/browser', { args: without([...chromiumAlone, ...long, ...keeping]), env })
}

async function guests() {
  await build()
  const args = ['--maxWorkers', '1', '--testTimeout', '600000']
  vitest('tests/guests', { args, env: { CHROMIUM: chromium() } })
  // One boot in another browser.
  vitest('tests/guests', { args: [...args, 'saved'], env: { TEST_BROWSER: 'firefox', FIREFOX: firefoxProgram() } })
}

async function packageChecks({ all }) {
  await build()
  const { exports } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'))
  const wasm = Object.keys(exports).filter((name) => name.endsWith('.wasm'))
  tool('publint', ['--strict'])
  tool('@arethetypeswrong/cli', ['--pack', '.', '--profile', 'node16', '--exclude-entrypoints', ...wasm], {
    name: 'attw',
  })
  const args = all ? ['--testTimeout', '600000', '--hookTimeout', '600000'] : without(['slow/*'])
  vitest('tests/package', { args, env: { CHROMIUM: chromium() } })
}

async function docs() {
  cargo(['doc', '--quiet', '--no-deps', '--document-private-items'], { env: { RUSTDOCFLAGS: '-D warnings' } })
  await build()
  buildDocs()
}

function fuzz() {
  run(process.execPath, [inRoot('scripts', 'fuzz.mjs'), 'smoke'])
}

await main(import.meta.url, async (words) => {
  const names = words.filter((word) => word !== '--all')
  const unknown = names.find((name) => !Object.hasOwn(steps, name))
  if (unknown) throw new Stop(`There is no step "${unknown}"; there are ${Object.keys(steps).join(', ')}.`)
  const chosen = Object.entries(steps).filter(([name, step]) =>
    names.length === 0 ? !step.byHand : names.includes(name),
  )

  const start = performance.now()
  await setup([...new Set(chosen.flatMap(([, step]) => step.needs))])
  const ran = []
  for (const [name, step] of chosen) {
    say(`\n=== ${name}: ${step.title}`)
    const began = performance.now()
    try {
      await step.run({ all: words.includes('--all') })
    } catch (error) {
      if (!(error instanceof Stop)) throw error
      throw new Stop(`The step "${name}" failed. ${error.message} To run it alone: \`npm test -- ${name}\`.`)
    }
    const took = seconds(performance.now() - began)
    say(`=== ${name}: passed in ${took}`)
    ran.push(`${name} ${took}`)
  }
  say(`\nall passed in ${seconds(performance.now() - start)}: ${ran.join(', ')}`)
})
