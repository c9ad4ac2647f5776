// `npm run bench`: the native benchmark, then those in Chromium; `npm run bench -- native`, `check`,
// `browser`, `workers` or `storages` for one.
// Everything is compared within one run: figures of two runs, or of two machines, say nothing.
import { build } from './build.mjs'
import { inRoot, main, run, Stop, say } from './lib.mjs'
import { setup } from './setup.mjs'

const parts = {
  async native(args) {
    await setup(['rust', 'qemu'])
    say('\n=== native')
    run('cargo', [
      'run',
      '--locked',
      '--quiet',
      '--release',
      '--manifest-path',
      'tests/bench/Cargo.toml',
      '--',
      ...args,
    ])
  },
  async check() {
    await setup(['rust', 'qemu'])
    say('\n=== checking, against qemu-img')
    run('cargo', [
      'run',
      '--locked',
      '--quiet',
      '--release',
      '--manifest-path',
      'tests/bench/Cargo.toml',
      '--bin',
      'check',
    ])
  },
  async browser(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    build()
    say('\n=== in Chromium')
    run(process.execPath, [inRoot('tests', 'bench', 'browser.mjs'), ...args])
  },
  async workers(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    build()
    say('\n=== the engine in a worker of Chromium, against the page')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-workers.mjs'), ...args])
  },
  async storages(args) {
    await setup(['rust', 'packages', 'wasm', 'browser', 'qemu'])
    build()
    say('\n=== the storages of Chromium')
    run(process.execPath, [inRoot('tests', 'bench', 'browser-storages.mjs'), ...args])
  },
}

await main(import.meta.url, async ([name, ...args]) => {
  if (name && !Object.hasOwn(parts, name))
    throw new Stop('There are five benchmarks: `native`, `check`, `browser`, `workers` and `storages`.')
  for (const part of name ? [name] : Object.keys(parts)) await parts[part](args)
})
