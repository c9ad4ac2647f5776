// Builds the viewer for `qcow2-web serve`, by default into dist/viewer: the page without the machine and without the modules, which
// the package has already.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { inRoot, main, say, tool } from './lib.mjs'
import { stampOf } from './staged.mjs'

/** The modules, and what only the machine has. */
const left = /^(emulator|v86|bios|vgabios)|_bg-[\w-]+\.wasm$|^bootable\.qcow2$|\.bin$/

/** Builds the viewer into the package, unless it was made from the same package and page. */
export function buildViewer(stamp) {
  const target = inRoot('dist', 'viewer')
  if (stampOf(target) === stamp) return
  say('building the viewer')
  buildInto(target)
  writeFileSync(join(target, '.stamp'), stamp)
}

function buildInto(target) {
  const stage = mkdtempSync(inRoot('target', 'viewer-'))
  try {
    tool('vite', ['build', inRoot('www'), '--outDir', stage, '--emptyOutDir', '--logLevel', 'error'], {
      env: { NODE_ENV: 'production' },
      otherwise: 'The viewer does not build.',
    })
    const machine = readFileSync(join(stage, 'emulator', 'index.html'), 'utf8')
    const script = /<script[^>]* src="[^"]*\/([^/"]+)"/.exec(machine)?.[1]
    const isLeft = (file) => left.test(basename(file)) || basename(file) === script
    rmSync(target, { recursive: true, force: true })
    cpSync(stage, target, { recursive: true, filter: (file) => file === stage || !isLeft(file) })
    // The command is there whenever the page is, and its address changes: nothing is to be kept in the browser.
    writeFileSync(join(target, 'offline.js'), '// Keeps nothing.\n')
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

await main(import.meta.url, ([target]) => buildInto(target ?? inRoot('dist', 'viewer')))
