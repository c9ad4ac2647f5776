// Builds the package into dist/: the wasm modules, and TypeScript to JavaScript and types.
// Steps whose inputs have not changed are skipped.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { filesUnder, fingerprint, inRoot, main, say, tool } from './lib.mjs'
import { buildModules, checkSize, fat, files, luks, reader, shipped } from './modules.mjs'
import { setup } from './setup.mjs'
import { staged, stampOf } from './staged.mjs'
import { weigh } from './weigh.mjs'

const dist = inRoot('dist')

/** Builds everything that is not up to date. */
export async function build() {
  await buildModules()
  await typescript()
}

async function typescript() {
  const sources = filesUnder('src/js', (file) => !/\.wasm$|inline-worker/.test(file))
  const inputs = [...sources, 'tsconfig.json', 'package-lock.json', 'scripts/build.mjs', 'scripts/bundle.mjs']
  const stamp = fingerprint(inputs)
  if (stampOf(dist) === stamp && existsSync(join(shipped.folder, 'inline-worker.js'))) return

  say('compiling the TypeScript')
  // Not before: setup brings the bundlers.
  const { writeDeclarations, writeInlineWorker, writeRequired, writeScripts } = await import('./bundle.mjs')
  await writeInlineWorker(shipped.folder)
  const declarations = mkdtempSync(inRoot('target', 'declarations-'))
  try {
    tool('typescript', ['--project', inRoot('tsconfig.json'), '--outDir', declarations, '--emitDeclarationOnly'], {
      name: 'tsc',
      otherwise: 'The TypeScript does not compile.',
    })
    // Only checks: an export without documentation is an error (typedocOptions in tsconfig.json).
    tool('typedoc', ['--logLevel', 'Warn'], { otherwise: 'The documentation of the exports is not complete.' })
    // The glue has its declarations already: they go next to what imports them as they are.
    const glue = (from, ...to) =>
      cpSync(from, join(declarations, ...to), { recursive: true, filter: (file) => !/\.(stamp|wasm|js)$/.test(file) })
    glue(shipped.folder, 'generated')
    glue(reader.folder, 'reader', 'generated')
    glue(files.folder, 'files', 'generated')
    glue(fat.folder, 'files', 'fat', 'generated')
    glue(luks.folder, 'files', 'luks', 'generated')
    await staged(dist, stamp, async (stage) => {
      await writeScripts(stage)
      await writeDeclarations(declarations, stage)
      writeRequired(stage)
      copyModule(shipped, stage, 'generated')
      copyModule(reader, stage, 'reader', 'generated')
      copyModule(files, stage, 'files', 'generated')
      copyModule(fat, stage, 'files', 'fat', 'generated')
      copyModule(luks, stage, 'files', 'luks', 'generated')
    })
  } finally {
    rmSync(declarations, { recursive: true, force: true })
  }
}

/** Copies the wasm of a module into the package. */
function copyModule({ folder, name }, stage, ...to) {
  const file = `${name}_bg.wasm`
  mkdirSync(join(stage, ...to), { recursive: true })
  cpSync(join(folder, file), join(stage, ...to, file))
}

await main(import.meta.url, async ([what]) => {
  await setup(['packages', 'wasm'])
  await build()
  await weigh()
  if (what === 'size') await checkSize()
  // The package has the viewer for its command; what is built otherwise does without.
  if (what === 'package') {
    const { buildViewer } = await import('./viewer.mjs')
    buildViewer(
      fingerprint([...filesUnder('www', (file) => !file.startsWith('www/dist/')), 'dist/.stamp', 'scripts/viewer.mjs']),
    )
  }
})
