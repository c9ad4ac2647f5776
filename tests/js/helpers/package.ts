import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type ViteDevServer, build as viteBuild } from 'vite'
import webpack from 'webpack'

const root = join(import.meta.dirname, '../../..')

/** A folder in which the package is installed as users install it: from the archive that would be published. */
export function install(): string {
  const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-package-'))
  const npm = (cwd: string, ...args: string[]) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: 'pipe' })
  const [packed] = JSON.parse(npm(root, 'pack', '--ignore-scripts', '--json', '--pack-destination', folder))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  npm(folder, 'install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', join(folder, packed.filename))
  return folder
}

/** What an app does with the package; the name under which it imports it differs. */
const look = (name: string) => `
import { blob, draft, isQcow2Error, memory, opfs, Qcow2 } from '${name}'

const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]

/** All there is to see of an image. */
export async function look(file, { worker, ...options }) {
  try {
    const image = await Qcow2.open(blob(file, options), { worker })
    const { size, sync } = image
    const whole = await hash(sync ? image.readSync(0, size) : await image.read(0, size))
    const streamed = await hash(await new Response(image.readable()).arrayBuffer())
    let extents = 0
    for await (const extent of image.map()) extents += extent.length > 0
    const { clusterSize } = await image.info()
    await image.close()
    const inverted = await invert(file, options, worker)
    const created = await create(size, inverted, worker)
    return { size, sync, whole, streamed, extents, clusterSize, edited: await hash(inverted), created: await hash(created) }
  } catch (error) {
    return { error: isQcow2Error(error) ? error.code : String(error) }
  }
}

/** The disk after each of its bytes was inverted, in a draft that was saved. */
async function invert(file, options, worker) {
  const edited = draft(blob(file, options))
  const image = await Qcow2.open(edited, { writable: true, worker })
  const bytes = (await image.read(0, image.size)).map((byte) => ~byte)
  if (image.sync) image.writeSync(0, bytes)
  else await image.write(0, bytes)
  if (image.sync) image.flushSync()
  await image.close()
  const again = await Qcow2.open(blob(await edited.blob()))
  const saved = await again.read(0, again.size)
  await again.close()
  return saved
}

/** The disk of an image that was created in memory with these bytes. */
async function create(size, bytes, worker) {
  const storage = memory()
  const image = await Qcow2.create(storage, { size, worker })
  await image.writeCompressed(0, bytes)
  await image.close()
  const again = await Qcow2.open(memory(storage.bytes()))
  const saved = again.readSync(0, size)
  await again.close()
  return saved
}

/** The hash of the disk of an image that is kept in the origin-private file system. */
export async function keep(file) {
  try {
    await opfs.import('kept.qcow2', file, { overwrite: true })
    const image = await Qcow2.open(opfs('kept.qcow2'))
    const whole = await hash(await image.read(0, image.size))
    await image.close()
    return { whole }
  } catch (error) {
    return { error: isQcow2Error(error) ? error.message : String(error) }
  }
}
`

const worker = `
import { look } from './look.js'

addEventListener('message', async ({ data: { file, options } }) => postMessage(await look(file, options)))
`

const main = (module: string) => `
import { keep, look } from './look.js'

window.look = look
window.keep = keep
window.lookInWorker = (file, options) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url)${module})
    worker.onmessage = ({ data }) => {
      worker.terminate()
      resolve(data)
    }
    worker.onerror = (event) => reject(new Error(event.message))
    worker.postMessage({ file, options })
  })
document.body.append('ready')
`

const page = (script: string) =>
  `<!doctype html><body><input type="file"><script type="module" src="${script}"></script></body>`

/** Writes an app into a folder below the one where the package is installed. */
export function writeApp(folder: string, name: string, specifier = 'qcow2-web'): string {
  const app = join(folder, name)
  mkdirSync(app)
  writeFileSync(join(app, 'look.js'), look(specifier))
  writeFileSync(join(app, 'worker.js'), worker)
  // Literal options are what bundlers look for.
  writeFileSync(join(app, 'main.js'), main(", { type: 'module' }"))
  writeFileSync(join(app, 'index.html'), page('./main.js'))
  return app
}

/** Builds the app in a folder with Vite; returns where the result is, and what Vite warned of. */
export async function buildWithVite(app: string): Promise<{ out: string; warnings: string[] }> {
  const warnings: string[] = []
  // How long plugins take depends on what else the machine does.
  const warn = (message: string) => message.includes('PLUGIN_TIMINGS') || warnings.push(message)
  await viteBuild({
    root: app,
    configFile: false,
    base: './',
    worker: { format: 'es' },
    customLogger: {
      info: () => {},
      warn,
      warnOnce: warn,
      error: warn,
      clearScreen: () => {},
      hasErrorLogged: () => false,
      hasWarned: false,
    },
  })
  return { out: join(app, 'dist'), warnings }
}

/** Serves the app in a folder as Vite does while it is being developed: with dependencies bundled beforehand. */
export async function developWithVite(app: string): Promise<ViteDevServer> {
  const server = await createServer({
    root: app,
    configFile: false,
    logLevel: 'error',
    server: { host: '127.0.0.1', port: 0, fs: { strict: false } },
  })
  return server.listen()
}

/** Builds the app in a folder with webpack; returns where the result is, and what webpack warned of. */
export async function buildWithWebpack(app: string): Promise<{ out: string; warnings: string[] }> {
  const out = join(app, 'built')
  const compiler = webpack({
    mode: 'production',
    context: app,
    entry: './main.js',
    output: { path: out, filename: 'main.js' },
    // Sizes are told by the package's own build.
    performance: { hints: false },
  })
  const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) => {
    compiler?.run((error, result) => (error ? reject(error) : resolve(result)))
  })
  const { warnings = [], errors = [] } = stats?.toJson({ all: false, warnings: true, errors: true }) ?? {}
  writeFileSync(join(out, 'index.html'), page('./main.js'))
  return { out, warnings: [...warnings, ...errors].map(({ message }) => message) }
}
