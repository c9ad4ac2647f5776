// Runs the fuzz targets of tests/fuzz with libFuzzer, on stable Rust.
//   node scripts/fuzz.mjs smoke                 every target, a fixed number of inputs: part of `npm test`
//   node scripts/fuzz.mjs <target> [seconds]    one target, until it ends or is stopped; what it finds goes to artifacts/
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { inRoot, main, output, run, Stop, say } from './lib.mjs'
import { setup } from './setup.mjs'

const smokeInputs = 5_000
const crate = inRoot('tests', 'fuzz')
const manifest = join(crate, 'Cargo.toml')

/** What `cargo fuzz` passes to the compiler, without the address sanitizer, which only a nightly Rust has. */
const instrumented = [
  '--cfg=fuzzing',
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Cdebug-assertions',
  '-Coverflow-checks',
  '-Ccodegen-units=1',
]

/** The names of the fuzz targets. */
function targets() {
  const metadata = output('cargo', [
    'metadata',
    '--locked',
    '--no-deps',
    '--format-version=1',
    '--manifest-path',
    manifest,
  ])
  if (metadata === undefined)
    throw new Stop('cargo could not read tests/fuzz/Cargo.toml, or its lock file is out of date.')
  return JSON.parse(metadata).packages[0].targets.flatMap(({ kind, name }) => (kind[0] === 'bin' ? [name] : []))
}

/** Builds every target and returns the folder of the programs. */
function buildTargets() {
  say('building the fuzz targets')
  const host = /host: (\S+)/.exec(output('rustc', ['-vV']))[1]
  const folder = join(crate, 'target')
  run('cargo', ['build', '--locked', '--quiet', '--release', '--bins', '--target', host, '--manifest-path', manifest], {
    env: { CARGO_ENCODED_RUSTFLAGS: instrumented.join('\x1f'), CARGO_TARGET_DIR: folder },
    otherwise: 'The fuzz targets do not compile.',
  })
  return join(folder, host, 'release')
}

/** Runs one target over its seeds and its corpus; `limits` are libFuzzer's. */
function fuzz(folder, target, limits) {
  const corpus = join(crate, 'corpus', target)
  const artifacts = join(crate, 'artifacts', target)
  for (const each of [corpus, artifacts]) mkdirSync(each, { recursive: true })
  const seeds = [join(crate, 'seeds', target)].filter(existsSync)
  const words = join(crate, 'qcow2.dict')
  const options = [
    `-artifact_prefix=${artifacts}/`,
    `-dict=${words}`,
    '-print_final_stats=1',
    '-rss_limit_mb=1024',
    '-timeout=10',
    ...limits,
  ]
  run(join(folder, target), [corpus, ...seeds, ...options], {
    cwd: crate,
    otherwise: `The fuzz target "${target}" found something: the input is in tests/fuzz/artifacts/${target}.`,
  })
}

await main(import.meta.url, async ([what, time]) => {
  await setup(['rust', 'fuzz'])
  const names = targets()
  if (what === 'smoke') {
    const folder = buildTargets()
    for (const name of names) fuzz(folder, name, [`-runs=${smokeInputs}`, '-seed=1', '-verbosity=0'])
  } else if (names.includes(what)) {
    fuzz(buildTargets(), what, time ? [`-max_total_time=${time}`] : [])
  } else {
    throw new Stop(`Name a fuzz target (${names.join(', ')}), or \`smoke\`.`)
  }
})
