import { nodeModule } from './node.js'

/**
 * The address of a file of the package: `address`, unless a tool has moved the JavaScript away from its files.
 *
 * - Vite's pre-bundling moves the JavaScript into a folder beside the package.
 * - Frameworks that bundle for a server, such as Next, turn the address into one of the site, which the server can't
 *   fetch; the file is in the installed package still.
 *
 * @param path where the file is in the package.
 */
export function packageFile(address: URL, path: string): URL | string {
  const found = String(address)
  return movedFile(address, path) ?? (isOfSite(found) ? (installed(path) ?? found) : address)
}

/**
 * The address of a file of the package where Vite's pre-bundling has moved the JavaScript away from it; `undefined`
 * elsewhere. It is right if the package is installed where Vite has its cache, in the app's own `node_modules`.
 *
 * @param neighbour the address that another file of the package seems to have.
 * @param path where the file is in the package.
 */
export function movedFile(neighbour: URL, path: string): URL | undefined {
  const found = String(neighbour)
  const bundled = found.indexOf(viteCache)
  return bundled < 0 ? undefined : new URL(`${found.slice(0, bundled)}/node_modules/qcow2-web/${path}`)
}

const viteCache = '/node_modules/.vite/'

/**
 * What to do if a file of the package cannot be loaded. A sentence.
 *
 * @param path where the file is in the package.
 * @param neighbour the address that a file of the package seems to have.
 */
export function missingFileAdvice(
  option: 'wasm' | 'reader' | 'worker' | 'fat' | 'luks',
  path: string,
  neighbour: URL,
): string {
  if (String(neighbour).includes(viteCache)) {
    return "Keep Vite from moving the package: set optimizeDeps: { exclude: ['qcow2-web'] } in its configuration."
  }
  if (nodeModule('node:module')) {
    return "Keep the package out of the server's bundle, in Next by serverExternalPackages: ['qcow2-web']."
  }
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (path.includes('files')) {
    return `Serve the package's ${path} and say where: configure({ files: { ${option}: '/${name}' } }).`
  }
  const serve = `serve the package's ${path} and say where: configure({ ${option}: '/${name}' })`
  return `Import the package as 'qcow2-web/inline', which needs no other file, or ${serve}.`
}

/** Whether an address is relative to a site, and this is no page of it. */
function isOfSite(address: string): boolean {
  return address.startsWith('/') && nodeModule('node:module') !== undefined
}

interface NodeModule {
  createRequire(from: string): { resolve(specifier: string): string }
}

function installed(path: string): string | undefined {
  const module = nodeModule<NodeModule>('node:module')
  const url = nodeModule<{ pathToFileURL(path: string): URL }>('node:url')
  // Not the global `process`, for which some bundlers add a package.
  const process = nodeModule<{ cwd(): string }>('node:process')
  try {
    const manifest = process && module?.createRequire(`${process.cwd()}/`).resolve('qcow2-web/package.json')
    return manifest && url && new URL(path, url.pathToFileURL(manifest)).href
  } catch {
    return undefined
  }
}
