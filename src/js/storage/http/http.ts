import { callback, flag, integer, optionsIn, watchIn } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import type { Progress } from '../../base/progress.js'
import type { AsyncStorage, SyncStorage } from '../../base/storage/contract.js'
import { CachedStorage } from '../cache/cached-storage.js'
import type { ReadAheadOptions } from '../cache/limits.js'
import { addressOf, forgetFiles, type KeptFile, keptFiles } from '../cache/range-cache.js'
import { readAhead } from '../cache/read-ahead.js'
import { made } from '../recipe.js'
import type { HttpAccess } from './connection.js'
import { FetchStorage } from './fetch.js'
import { SyncHttpStorage } from './sync.js'

/** How {@link http} asks a server. */
export interface HttpOptions {
  /**
   * Wait for each answer, so that `readSync` of the image works: in workers only. `fetchFn` then serves the opening
   * alone, of `requestInit` only `headers` and `credentials: 'include'` count, and what failed is tried again without a pause.
   * Default: false.
   */
  readonly sync?: boolean | undefined
  /**
   * Headers, credentials and whatever else `fetch` takes. Default: `{ cache: 'no-store' }`, since some browsers let
   * requests for one address wait for each other in their cache; this storage keeps what it needs by itself.
   */
  readonly requestInit?: Omit<RequestInit, 'method' | 'body' | 'signal'> | undefined
  /** What to call instead of `fetch`. */
  readonly fetchFn?: ((url: string, init: RequestInit) => Promise<Response>) | undefined
  /**
   * How much to fetch ahead and to keep, or false to pass each request on as it is. Default: as
   * {@link ReadAheadOptions} documents, except `block` and `gap`, which are 256 KiB.
   */
  readonly readAhead?: ReadAheadOptions | false | undefined
  /**
   * Keep what was fetched in IndexedDB, and don't fetch it again the next time: at most this many bytes, for all files
   * together, in blocks of 256 KiB; those that were not used for the longest time are forgotten. The server is still
   * asked at each opening whether the file is the same: what is kept is of one address, query included, in one state. So of
   * a server that sends no state, by a strong `ETag` or a date that no longer changes, nothing is kept, and neither is anything where
   * there is no IndexedDB. Not with `sync`. Default: 0.
   */
  readonly persistentCache?: number | undefined
  /** How many requests are under way at one time. Default: 6. */
  readonly connections?: number | undefined
  /**
   * How many times a request is sent again that failed for what may pass: the network, an answer that broke off, or a
   * status such as 503. Default: 4.
   */
  readonly retries?: number | undefined
  /** The pause before the first retry in milliseconds; each is twice as long as the one before. Default: 250. */
  readonly retryDelay?: number | undefined
  /**
   * How long a server may send nothing before a request is aborted, in milliseconds; 0: as long as the browser lets it. A slow
   * server, which keeps sending something, is not aborted. The request is sent once more, even if `retries` is
   * more. With `sync` it is the time for the whole request, to which each 16 KiB add a second. Default: 30 seconds.
   */
  readonly timeout?: number | undefined
  /**
   * If the server can't give parts of the file, fetch the whole of it when an image is opened, instead of failing with
   * code `NO_RANGES`. In the end it is a `Blob`; with `sync` it takes as much memory as it is long. A file of up to 256 KiB comes
   * whole with the first answer, and needs no permission. Default: false.
   */
  readonly download?: boolean | undefined
  /** Called while the whole file is fetched; `total` grows with `done` if the server does not send its length. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /**
   * Aborts the opening: that of an image then fails with code `STORAGE`, and the signal's reason as the `cause`. Reads have signals
   * of their own, and so has the opening of an image.
   */
  readonly signal?: AbortSignal | undefined
}

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
  const options: HttpOptions = { ...optionsIn(given), ...watchIn(given) }
  callback(options.fetchFn, 'fetchFn')
  if (typeof url !== 'string' && !(url instanceof URL)) throw invalidArgument('http() takes an address.')
  if (!options.fetchFn && !isAddress(url)) throw invalidArgument(`http() takes an address, which '${url}' is not here.`)
  const ahead = aheadOf(options.readAhead)
  const access: HttpAccess = {
    url: String(url),
    requestInit: { cache: 'no-store', ...options.requestInit },
    fetchFn: options.fetchFn ?? ((address, init) => fetch(address, init)),
    patience: {
      retries: integer(options.retries ?? 4, 'retries'),
      delay: integer(options.retryDelay ?? 250, 'retryDelay'),
    },
    timeout: integer(options.timeout ?? 30_000, 'timeout'),
    connections: integer(options.connections ?? 6, 'connections', 1),
    first: block,
    download: flag(options.download, 'download'),
    onProgress: options.onProgress,
    signal: options.signal,
  }
  const budget = integer(options.persistentCache ?? 0, 'persistentCache')
  if (!flag(options.sync, 'sync')) {
    const remote = new FetchStorage(access)
    const file = budget === 0 ? remote : new CachedStorage(remote, budget)
    const storage = ahead ? readAhead(file, ahead) : file
    return options.fetchFn ? storage : made(storage, { maker: 'http', args: () => [absolute(url), portable(options)] })
  }
  if (budget > 0) throw invalidArgument('http() with sync: true has no persistentCache, for IndexedDB is asynchronous.')
  // On pages there is a `document`, and browsers don't let them wait.
  if (typeof XMLHttpRequest !== 'function' || typeof document !== 'undefined') {
    throw invalidArgument('http() with sync: true works in workers only.')
  }
  const file = new SyncHttpStorage(access)
  return ahead ? readAhead(file, ahead) : file
}

/** What is fetched ahead, in blocks for a server where nothing else is said. */
function aheadOf(options: ReadAheadOptions | false = {}): ReadAheadOptions | false {
  return options && { ...options, block: options.block ?? block, gap: options.gap ?? block }
}

/** True if this address can be resolved: a relative one needs a page, or a worker's script, that it is relative to. */
function isAddress(url: string | URL): boolean {
  try {
    absolute(url)
    return true
  } catch {
    return false
  }
}

/** The address as it is from anywhere. */
function absolute(url: string | URL): string {
  return new Request(url).url
}

/** The options as they can be cloned. */
function portable({ requestInit, ...options }: HttpOptions): HttpOptions {
  if (!requestInit) return options
  return { ...options, requestInit: { ...requestInit, headers: [...new Headers(requestInit.headers)] } }
}

/** A request costs about as much time as this many bytes: 20 ms at 100 Mbit/s. */
const block = 256 * 1024
