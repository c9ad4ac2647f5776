// `npm run bench`: the native benchmarks, then those in Chromium; `npm run bench -- native` and so on for one of `parts`.
// Everything is compared within one run: figures of two runs, or of two machines, cannot be compared.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { build } from './build.mjs'
import { inRoot, main, run, Stop, say } from './lib.mjs'
import { setup } from './setup.mjs'
import { required, target, wasmCargo } from './wasm.mjs'

/** Runs a program of tests/bench, by default the native benchmark. */
async function native(title, args) {
  await setup(['rust', 'qemu'])
  say(`\n=== ${title}`)
  run('cargo', ['run', '--locked', '--quiet', '--release', '--manifest-path', 'tests/bench/Cargo.toml', ...args])
}

/** Builds the plain crates' AES as `target/bench/plain.wasm`. */
function buildPlain() {
  wasmCargo(['build', '--quiet', '--release', '--lib', '--manifest-path', 'tests/bench/Cargo.toml'])
  mkdirSync(inRoot('target', 'bench'), { recursive: true })
  copyFileSync(join(required().folder, target, 'release', 'plain.wasm'), inRoot('target', 'bench', 'plain.wasm'))
}

/** Prints how many instructions one operation takes, as callgrind counts them: the same on every run of a machine. */
async function instructions(args) {
  await setup(['rust'])
  say('\n=== instructions for one operation')
  const manifest = inRoot('tests', 'bench', 'Cargo.toml')
  run('cargo', ['build', '--locked', '--quiet', '--release', '--manifest-path', manifest, '--bin', 'instructions'])
  const program = inRoot('tests', 'bench', 'target', 'release', 'instructions')
  const operations = ['read', 'cold-read', 'sequential-read', 'write', 'allocate']
  for (const operation of args.length ? args : operations) {
    const [few, many] = [2000, 6000].map((times) => counted(program, operation, times))
    say(`${operation.padEnd(16)} ${Math.round((many - few) / 4000)}`)
  }
}

/** The instructions that a whole run takes. */
function counted(program, operation, times) {
  const args = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, operation, `${times}`]
  const { error, stderr, status } = spawnSync('valgrind', args, { encoding: 'utf8' })
  if (error)
    throw new Stop(`valgrind did not start (${error.message}): install it, such as by \`apt install valgrind\`.`)
  const count = /Collected : (\d+)/.exec(stderr)?.[1]
  if (status !== 0 || !count) throw new Stop(`valgrind failed:\n${stderr}`)
  return Number(count)
}

const parts = {
  native: (args) => native('native', ['--', ...args]),
  instructions,
  cost: (args) => native('requests, bytes and allocations', ['--bin', 'cost', '--', ...args]),
  check: () => native('checking, against qemu-img', ['--bin', 'check']),
  snapshots: (args) => native('snapshots, against qemu-img', ['--bin', 'snapshot', '--', ...args]),
  async command(args) {
    await setup(['rust', 'packages', 'wasm', 'qemu'])
    await build()
    say('\n=== the command, against qemu-img')
    run(process.execPath, [inRoot('tests', 'bench', 'command.mjs'), ...args])
  },
  async browser(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    await build()
    say('\n=== in Chromium')
    run(process.execPath, [inRoot('tests', 'bench', 'browser.mjs'), ...args])
  },
  async files(args) {
    await setup(['rust', 'packages', 'wasm', 'filesystems'])
    await build()
    say('\n=== file systems in Node')
    run(process.execPath, [inRoot('tests', 'bench', 'files.mjs'), ...args])
  },
  async codecs(args) {
    await native('ciphers and codecs, against the plain crates and qemu-img', ['--bin', 'codecs'])
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    await build()
    buildPlain()
    say('\n=== ciphers and codecs in Chromium')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-codecs.mjs'), ...args])
  },
  async convert(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    await build()
    say('\n=== conversion in Chromium, by workers')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-convert.mjs'), ...args])
  },
  async workers(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    await build()
    say('\n=== the engine in a worker of Chromium, against the page')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-workers.mjs'), ...args])
  },
  async storages(args) {
    await setup(['rust', 'packages', 'wasm', args.includes('firefox') ? 'firefox' : 'browser', 'qemu'])
    await build()
    say('\n=== the storages of a browser')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-storages.mjs'), ...args])
  },
}

await main(import.meta.url, async ([name, ...args]) => {
  if (name && !Object.hasOwn(parts, name))
    throw new Stop(`There are these benchmarks: ${Object.keys(parts).join(', ')}.`)
  for (const part of name ? [name] : Object.keys(parts)) await parts[part](args)
})
