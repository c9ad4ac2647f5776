import { notInReader } from '../../base/not-in-reader.js'
import type { AsyncStorage } from '../../base/storage/contract.js'
import { asyncHttp } from './async.js'
import { type HttpOptions, httpRequest } from './options.js'

/** How {@link http} asks a server: as that of `qcow2-web`, which can also wait for each answer, and keep what it fetched. */
export type HttpReadOptions = Omit<HttpOptions, 'sync' | 'persistentCache'>

/**
 * A file on a web server, read-only; fetched in parts, as they are needed, by requests for ranges.
 *
 * Every answer is compared with the first: if the file on the server becomes another while it is in use, reads fail with code
 * `FILE_CHANGED`. On another origin the server must permit it (CORS), best with `Access-Control-Expose-Headers: Content-Range, ETag`.
 *
 * @param url its address; a relative one is of the page, or of the worker's script.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `url` or an option is not what it must be, `NOT_IN_READER` for `sync` and
 * `persistentCache`. Opening and reading fail with `NO_RANGES`, `FILE_CHANGED`, and `STORAGE` for whatever else keeps a server from answering.
 *
 * @example
 * ```ts
 * import { http, Qcow2 } from 'qcow2-web/read'
 *
 * const image = await Qcow2.open(http('https://example.org/disk.qcow2'))
 * ```
 */
export function http(url: string | URL, options: HttpReadOptions = {}): AsyncStorage {
  const request = httpRequest(url, options)
  if (request.sync) throw notInReader('http() with sync: true')
  if (request.persistentCache > 0) throw notInReader('http() with persistentCache')
  return asyncHttp(request)
}
