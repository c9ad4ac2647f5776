// Runs the fuzz targets of tests/fuzz with libFuzzer, on stable Rust.
//   node scripts/fuzz.mjs smoke                 every target, a fixed number of inputs: part of `npm test`
//   node scripts/fuzz.mjs run [minutes]         all targets in turns, an hour unless said otherwise
//   node scripts/fuzz.mjs <target> [seconds]    one target, until it ends or is stopped
// What is found goes to tests/fuzz/artifacts, what is learnt to tests/fuzz/corpus.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { makeVolumes } from '../tests/fuzz/make-volumes.mjs'
import { inRoot, main, output, run, Stop, say } from './lib.mjs'
import { setup } from './setup.mjs'

/** So many inputs take each target some ten seconds. */
const smokeInputs = {
  header: 100_000,
  tables: 5_000,
  overlap: 10_000,
  image: 20_000,
  luks: 3_000,
  repair: 5_000,
  streams: 20_000,
  write: 10_000,
  btrfs: 50,
  exfat: 300,
  ext: 500,
  fat: 500,
  hfsplus: 100,
  iso: 500,
  ntfs: 500,
  partitions: 250,
  udf: 500,
  xfs: 300,
}
/** The longest turn in seconds. */
const turn = 300
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

/** Runs one target over its seeds and the inputs in `corpus`, to which it adds; `limits` are libFuzzer's. */
async function fuzz(folder, target, limits, { corpus = join(crate, 'corpus', target), quiet = false } = {}) {
  const artifacts = join(crate, 'artifacts', target)
  for (const each of [corpus, artifacts]) mkdirSync(each, { recursive: true })
  // What is repaired is an image.
  const seeds = [join(crate, 'seeds', target === 'repair' ? 'image' : target)].filter(existsSync)
  const words = join(crate, 'qcow2.dict')
  const options = [
    `-artifact_prefix=${artifacts}/`,
    `-dict=${words}`,
    '-print_final_stats=1',
    '-print_funcs=0',
    '-rss_limit_mb=1024',
    '-timeout=10',
    ...limits,
  ]
  const stdio = ['ignore', 'inherit', quiet ? 'pipe' : 'inherit']
  const child = spawn(join(folder, target), [corpus, ...seeds, ...options], { cwd: crate, stdio })
  const [said, [status]] = await Promise.all([child.stderr ? text(child.stderr) : '', once(child, 'exit')])
  if (status === 0) return
  process.stderr.write(said)
  throw new Stop(`The fuzz target "${target}" found something: the input is in tests/fuzz/artifacts/${target}.`)
}

/** The same inputs every time: from the seeds alone, whatever earlier runs have learnt. A target a core. */
async function smoke(folder, names) {
  const corpus = mkdtempSync(join(tmpdir(), 'qcow2-web-fuzz-'))
  const waiting = names.values()
  const inTurn = async () => {
    for (const name of waiting) {
      say(`fuzzing ${name}: ${smokeInputs[name]} inputs`)
      const limits = [`-runs=${smokeInputs[name]}`, '-seed=1']
      await fuzz(folder, name, limits, { corpus: join(corpus, name), quiet: true })
    }
  }
  try {
    const ends = await Promise.allSettled(Array.from({ length: availableParallelism() }, inTurn))
    const failed = ends.find(({ status }) => status === 'rejected')
    if (failed) throw failed.reason
  } finally {
    rmSync(corpus, { recursive: true, force: true })
  }
}

/** Every target for a few minutes, again and again. */
async function takeTurns(folder, names, minutes) {
  const seconds = Math.min(turn, Math.ceil((minutes * 60) / names.length))
  const rounds = Math.max(1, Math.round((minutes * 60) / seconds / names.length))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) await fuzz(folder, name, [`-max_total_time=${seconds}`])
  }
}

await main(import.meta.url, async ([what, time]) => {
  await setup(['rust', 'fuzz', 'filesystems'])
  makeVolumes()
  const names = targets()
  if (what === 'smoke') await smoke(buildTargets(), names)
  else if (what === 'run') await takeTurns(buildTargets(), names, Number(time ?? 60))
  else if (names.includes(what)) await fuzz(buildTargets(), what, time ? [`-max_total_time=${time}`] : [])
  else throw new Stop(`Name a fuzz target (${names.join(', ')}), \`run\` or \`smoke\`.`)
})
