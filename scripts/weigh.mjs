// What users pay for the package: prints its sizes, the requests of a page without a bundler, and the time to the first read.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { inRoot, output, Stop, say } from './lib.mjs'

const dist = inRoot('dist')
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} KB`

const reader = 'reader/generated/qcow2_web_reader_bg.wasm'
const engine = 'generated/qcow2_web_bg.wasm'

/** The most that a page may load to read with `qcow2-web/read`, in bytes, gzipped. */
const readLimit = 160_000

/** The sizes of the package in dist/, in bytes, gzipped unless they are of what is installed; and how many files a page loads. */
export function sizes() {
  const installed = filesIn(dist).filter((file) => file !== '.stamp')
  const reading = [...imported('read.js'), reader]
  const opening = [...imported('index.js'), reader]
  return {
    installed: installed.reduce((sum, file) => sum + statSync(join(dist, file)).size, 0),
    files: installed.length,
    read: { bytes: gzipped(reading), requests: reading.length },
    open: { bytes: gzipped(opening), requests: opening.length },
    engine: gzipped([engine]),
    everything: gzipped(installed.filter((file) => /\.(js|wasm)$/.test(file) && !/^(cli|inline|viewer)/.test(file))),
  }
}

/** Prints it all, of the package in dist/; it is an error if a page that only reads loads too much. */
export async function weigh() {
  const { installed, files, read, open, engine, everything } = sizes()
  const loads = ({ bytes, requests }) => `${kilobytes(bytes)} gzipped, in ${requests} requests without a bundler`
  say(`installed: ${kilobytes(installed)} in ${files} files`)
  say(`to open and read, with qcow2-web/read: ${loads(read)}`)
  say(`to open and read, with qcow2-web: ${loads(open)}`)
  say(`the whole engine, on first need: ${kilobytes(engine)} gzipped`)
  say(`everything, with the workers and the file systems: ${kilobytes(everything)} gzipped`)
  say(
    `to the first read, in Node: ${(await firstRead()).toFixed(0)} ms; \`npm run bench -- browser\` measures it on a page`,
  )
  if (read.bytes <= readLimit) return
  throw new Stop(`A page that reads loads ${kilobytes(read.bytes)} gzipped; the limit is ${kilobytes(readLimit)}.`)
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
}

/** A script, and what it imports: the requests of a page. */
function imported(entry) {
  const found = new Set()
  const visit = (file) => {
    if (found.has(file)) return
    found.add(file)
    for (const [, path] of readFileSync(join(dist, file), 'utf8').matchAll(/(?:\bfrom|\bimport)\s*"(\.[^"]+)"/g)) {
      visit(join(dirname(file), path).replaceAll('\\', '/'))
    }
  }
  visit(entry)
  return [...found]
}

const gzipped = (files) =>
  files.reduce((sum, file) => sum + gzipSync(readFileSync(join(dist, file)), { level: 9 }).length, 0)

/** How long a new process takes to load the package, open an image and read of it, in milliseconds: the shortest of some. */
async function firstRead() {
  const index = pathToFileURL(join(dist, 'index.js')).href
  const { nodeFile, Qcow2 } = await import(index)
  const folder = mkdtempSync(inRoot('target', 'weigh-'))
  try {
    const file = join(folder, 'disk.qcow2')
    await (await Qcow2.create(nodeFile(file, { create: true }), { size: 1024 ** 2 })).close()
    const program = `
      const began = performance.now()
      const { nodeFile, Qcow2 } = await import('${index}')
      const image = await Qcow2.open(nodeFile(${JSON.stringify(file)}))
      await image.read(0, 512)
      console.log(performance.now() - began)`
    const times = [0, 1, 2].map(() => Number(output(process.execPath, ['--input-type=module', '--eval', program])))
    return Math.min(...times)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
