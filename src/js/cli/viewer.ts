import { existsSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Where the built viewer may be: in the package, or in a checkout of the project. */
const folders = ['../viewer/', '../../www/dist/']
/** The modules are in the package once. The viewer's own copies have the same bytes. */
const modules = ['', 'reader/', 'files/', 'files/fat/', 'files/luks/'].map((folder) => `../${folder}generated/`)

/** A file of the viewer as it is sent. */
export interface ViewerFile {
  readonly path: string
  readonly type: string
}

/** The built viewer: a page and what it loads. */
export class Viewer {
  /** Finds it; `undefined` where it was not built. */
  static find(given?: string): Viewer | undefined {
    const folder = [...(given === undefined ? [] : [given]), ...folders.map(at)].find((each) =>
      existsSync(join(each, 'index.html')),
    )
    return folder === undefined ? undefined : new Viewer(folder)
  }

  /** The Content-Security-Policy of the page, which its workers need as a header. */
  readonly #policy: string

  private constructor(private readonly folder: string) {
    const page = readFileSync(join(folder, 'index.html'), 'utf8')
    const [tag = ''] = /<meta[^>]*Content-Security-Policy[^>]*>/.exec(page) ?? []
    this.#policy = (/content="([^"]*)"/.exec(tag)?.[1] ?? "default-src 'self'").replaceAll('&#39;', "'")
  }

  /** The file at a path of its address; `undefined` where there is none. */
  file(pathname: string): ViewerFile | undefined {
    // Nothing outside of the folder is named like this.
    const name = pathname === '/' ? 'index.html' : pathname.slice(1)
    if (!/^(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/.test(name)) return undefined
    const module = /^assets\/([a-z0-9_]+_bg)-[\w-]+\.wasm$/.exec(name)?.[1]
    const inPackage = module === undefined ? [] : modules.map((each) => at(`${each}${module}.wasm`))
    const path = [join(this.folder, name), ...inPackage].find((each) =>
      statSync(each, { throwIfNoEntry: false })?.isFile(),
    )
    return path === undefined ? undefined : { path, type: types[extname(path)] ?? 'application/octet-stream' }
  }

  /** The policy that a file is sent with: one worker alone may reach other servers, at addresses that the person gives. */
  policyOf(pathname: string): string {
    if (!pathname.startsWith('/assets/network-')) return this.#policy
    return this.#policy.replace("connect-src 'self'", 'connect-src http: https:')
  }
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}
