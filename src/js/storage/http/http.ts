import { invalidArgument } from '../../base/errors.js'
import type { AsyncStorage, SyncStorage } from '../../base/storage/contract.js'
import { CachedStorage } from '../cache/cached-storage.js'
import { addressOf, forgetFiles, type KeptFile, keptFiles } from '../cache/range-cache.js'
import { readAhead } from '../cache/read-ahead.js'
import { asyncHttp } from './async.js'
import { type HttpOptions, httpRequest } from './options.js'
import { SyncHttpStorage } from './sync.js'

export type { HttpOptions }

/** Files on web servers. */
export interface Http {
  /**
   * A file on a web server, read-only; fetched in parts, as they are needed, by requests for ranges.
   *
   * Every answer is compared with the first: if the file on the server becomes another while it is in use, by its `ETag`,
   * its `Last-Modified` date or its length, reads fail with code `FILE_CHANGED`, so that two states are never mixed. A
   * server that sends neither of the two headers is trusted.
   *
   * On another origin the server must permit it (CORS), best with
   * `Access-Control-Expose-Headers: Content-Range, ETag`. Where it doesn't expose these, the length is asked for by one
   * more request, and changes are known by their date.
   *
   * @param url its address; a relative one is of the page, or of the worker's script.
   * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `url` or an option is not what it must be, or if `sync` is asked for
   * outside of a worker. Opening and reading fail with `NO_RANGES`, `FILE_CHANGED`, and `STORAGE` for whatever else keeps
   * a server from answering.
   */
  (url: string | URL, options: HttpOptions & { readonly sync: true }): SyncStorage
  (url: string | URL, options?: HttpOptions): AsyncStorage
  /**
   * What {@link HttpOptions.persistentCache} has kept, by file; nothing where there is no IndexedDB.
   *
   * @throws {@link Qcow2Error} `STORAGE` if the browser refuses.
   */
  kept(): Promise<KeptFile[]>
  /**
   * Forgets what was kept of the file at an address, or of all files. An image that is open goes on, and keeps what it
   * fetches from then on.
   *
   * @throws {@link Qcow2Error} `STORAGE` if the browser refuses.
   */
  forget(url?: string | URL): Promise<void>
}

/**
 * Files on web servers; see {@link Http}.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(http('https://example.org/disk.qcow2', { persistentCache: 256 * 1024 ** 2 }))
 * ```
 */
export const http: Http = /* @__PURE__ */ Object.assign(open, {
  kept: keptFiles,
  forget: (url?: string | URL) => forgetFiles(url === undefined ? undefined : addressOf(url)),
})

function open(url: string | URL, options: HttpOptions & { readonly sync: true }): SyncStorage
function open(url: string | URL, options?: HttpOptions): AsyncStorage
function open(url: string | URL, given: HttpOptions = {}): SyncStorage | AsyncStorage {
  const request = httpRequest(url, given)
  const { access, ahead, persistentCache } = request
  if (!request.sync) {
    return asyncHttp(request, persistentCache > 0 ? (remote) => new CachedStorage(remote, persistentCache) : undefined)
  }
  if (persistentCache > 0)
    throw invalidArgument('http() with sync: true has no persistentCache, for IndexedDB is asynchronous.')
  // On pages there is a `document`, and browsers don't let them wait.
  if (typeof XMLHttpRequest !== 'function' || typeof document !== 'undefined') {
    throw invalidArgument('http() with sync: true works in workers only.')
  }
  const file = new SyncHttpStorage(access)
  return ahead ? readAhead(file, ahead) : file
}
