import { callback, flag, integer, optionsIn, watchIn } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import type { Progress } from '../../base/progress.js'
import type { ReadAheadOptions } from '../cache/limits.js'
import type { HttpAccess } from './connection.js'

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

/** What the caller of {@link http} wants, checked. */
export interface HttpRequest {
  /** Each member was read once. */
  readonly options: HttpOptions
  readonly access: HttpAccess
  readonly ahead: ReadAheadOptions | false
  /** In bytes; 0 keeps nothing. */
  readonly persistentCache: number
  readonly sync: boolean
}

/** Checks what {@link http} is given. */
export function httpRequest(url: string | URL, given: HttpOptions): HttpRequest {
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
  const persistentCache = integer(options.persistentCache ?? 0, 'persistentCache')
  return { options, access, ahead, persistentCache, sync: flag(options.sync, 'sync') }
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
export function absolute(url: string | URL): string {
  return new Request(url).url
}

/** A request costs about as much time as this many bytes: 20 ms at 100 Mbit/s. */
const block = 256 * 1024
