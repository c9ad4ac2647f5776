import { follow, unlessAborted } from '../../base/abort.js'
import { isQcow2Error } from '../../base/errors.js'
import type { Progress } from '../../base/progress.js'
import type { Range } from '../cache/segments.js'
import {
  type Answer,
  condition,
  contentLength,
  contentRange,
  cut,
  isRedirect,
  lostRedirect,
  noRanges,
  type RemoteFile,
  rangeHeader,
  refused,
  sizeOf,
  unreachable,
  version,
} from './answer.js'
import { type Patience, retry, Transient } from './retry.js'
import { type Watch, watched } from './watch.js'

/** How a file on a server is asked for. */
export interface HttpAccess {
  readonly url: string
  readonly requestInit: RequestInit
  readonly fetchFn: (url: string, init: RequestInit) => Promise<Response>
  readonly patience: Patience
  /** How long the server may be silent, in milliseconds; 0: for ever. */
  readonly timeout: number
  readonly connections: number
  /** How many bytes the first request asks for. */
  readonly first: number
  readonly download: boolean
  readonly onProgress: ((progress: Progress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** What the server reports about a file. */
export interface Connection {
  readonly file: RemoteFile
  /** The bytes that came with the first answer; all there are, if the file is small or was downloaded. */
  readonly here: Blob
}

/** Asks for the beginning of the file, and thereby what file it is; unless `opening`, or the caller's own signal, aborts before. */
export async function connect(access: HttpAccess, opening: AbortSignal): Promise<Connection> {
  const stop = new AbortController()
  const ignore = follow(stop, access.signal, opening)
  try {
    return await unlessAborted(ask({ ...access, signal: stop.signal }), stop.signal)
  } finally {
    ignore()
  }
}

function ask(access: HttpAccess): Promise<Connection> {
  const { patience, timeout, signal } = access
  const path = new Path(access)
  return retry(patience, signal, () =>
    watched(timeout, signal, 0, async (watch) => {
      const response = await path.first(watch)
      try {
        return await begin(access, response, watch)
      } catch (error) {
        discard(response)
        if (!access.download || !isQcow2Error(error) || error.code !== 'NO_RANGES') throw error
        return download(access, await send(access, {}, watch), watch)
      }
    }),
  )
}

/** The way to a file that was never reached before. */
class Path {
  readonly #access: HttpAccess
  /** True if the address redirects; known after the first failure. */
  #redirects: boolean | undefined

  constructor(access: HttpAccess) {
    this.#access = access
  }

  /** Asks for the beginning of the file. A failure is distinguished from a loop of redirects, which would be the same each time. */
  async first(watch: Watch): Promise<Response> {
    try {
      return await send(this.#access, { range: { start: 0, end: this.#access.first } }, watch)
    } catch (error) {
      if (!(error instanceof Transient) || watch.signal.aborted) throw error
      this.#redirects ??= await this.#isRedirected(watch)
      throw this.#redirects ? lostRedirect(error) : error
    }
  }

  async #isRedirected(watch: Watch): Promise<boolean> {
    const requestInit: RequestInit = { ...this.#access.requestInit, redirect: 'manual' }
    const range = { start: 0, end: this.#access.first }
    try {
      const response = await send({ ...this.#access, requestInit }, { range }, watch)
      discard(response)
      return isRedirect(response)
    } catch {
      watch.signal.throwIfAborted()
      return false
    }
  }
}

/** What a server is asked for. */
export interface Wanted {
  /** Default: `GET`. */
  readonly method?: 'GET' | 'HEAD'
  /** Default: the whole file. */
  readonly range?: Range
  /** What the file must still be. */
  readonly condition?: string | undefined
}

/** Sends a request, and waits for the beginning of its answer. */
export async function send(
  { url, requestInit, fetchFn }: HttpAccess,
  { method = 'GET', range, condition }: Wanted,
  { signal, progress }: Watch,
): Promise<Response> {
  const headers = new Headers(requestInit.headers)
  if (range) headers.set('range', rangeHeader(range))
  if (condition !== undefined) headers.set('if-range', condition)
  let response: Response
  try {
    response = await fetchFn(url, { ...requestInit, method, headers, signal })
  } catch (error) {
    signal.throwIfAborted()
    throw unreachable(error, range?.start)
  }
  progress()
  // A function of the caller's may not have heard of it.
  if (signal.aborted) discard(response)
  signal.throwIfAborted()
  return response
}

/** The body of an answer: exactly a range. */
export async function body(response: Response, range: Range, watch: Watch): Promise<Uint8Array> {
  const length = range.end - range.start
  const bytes = await upTo(length, response, range.start, watch)
  if (bytes?.length !== length) throw cut(bytes?.length, range)
  return bytes
}

/** The body of an answer, which begins at `offset` of the file; `undefined` if it is longer than `most` bytes. */
async function upTo(
  most: number,
  response: Response,
  offset: number,
  { signal, progress }: Watch,
): Promise<Uint8Array | undefined> {
  if (!response.body) return new Uint8Array()
  const bytes = new Uint8Array(most)
  let done = 0
  const reader = response.body.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      progress()
      if (done + next.value.length > most) {
        // It may go on for ever.
        reader.cancel().catch(() => {})
        return undefined
      }
      bytes.set(next.value, done)
      done += next.value.length
    }
  } catch (error) {
    signal.throwIfAborted()
    throw unreachable(error, offset)
  }
  return done === most ? bytes : bytes.slice(0, done)
}

/** The parts of a response that are checked. */
export function answerOf(response: Response): Answer {
  return { status: response.status, header: (name) => response.headers.get(name) }
}

/** Releases the connection of a response whose rest is not needed. */
export function discard(response: Response): void {
  // It may be consumed already, or have failed.
  response.body?.cancel().catch(() => {})
}

async function begin(access: HttpAccess, response: Response, watch: Watch): Promise<Connection> {
  const answer = answerOf(response)
  if (answer.status === 200) return whole(access, response, watch)
  const size = sizeOf(answer, access.first) ?? (await measure(access, watch))
  const first = { start: 0, end: Math.min(access.first, size) }
  const here = new Blob(size === 0 ? [] : [(await body(response, first, watch)) as BlobPart])
  return { file: remoteFile(response, size), here }
}

/** The file where all of it came although a part was asked for, as servers may answer (RFC 9110, section 14.2), if it is small. */
async function whole(access: HttpAccess, response: Response, watch: Watch): Promise<Connection> {
  const announced = contentLength(answerOf(response)) ?? 0
  const bytes = announced > access.first ? undefined : await upTo(access.first, response, 0, watch)
  if (!bytes) throw noRanges('it sends the whole file where a part was asked for')
  checkAnnounced(bytes.length, announced, response)
  return { file: remoteFile(response, bytes.length), here: new Blob([bytes as BlobPart]) }
}

/** Asks for the length alone. If that is refused, asks for everything, and waits for nothing except the length. */
async function measure(access: HttpAccess, watch: Watch): Promise<number> {
  const byHead = lengthBy('HEAD', access, watch).catch(() => {
    watch.signal.throwIfAborted()
    return undefined
  })
  const length = (await byHead) ?? (await lengthBy('GET', access, watch))
  if (length !== undefined) return length
  throw noRanges('it does not send the length of the file (across origins: expose the header Content-Range)')
}

/** The length in an answer. `Content-Length` may be seen of every server's answers, `Content-Range` not. */
async function lengthBy(method: 'GET' | 'HEAD', access: HttpAccess, watch: Watch): Promise<number | undefined> {
  // Browsers ask for the length of a compressed file unless there is a range.
  const range = { start: 0, end: Number.POSITIVE_INFINITY }
  const response = await send(access, { method, range }, watch)
  discard(response)
  const answer = answerOf(response)
  if (!response.ok) throw refused(answer)
  return contentLength(answer)
}

/** Takes the whole file. It becomes a Blob, which browsers keep on the disk if it is large. */
async function download({ onProgress }: HttpAccess, response: Response, watch: Watch): Promise<Connection> {
  const answer = answerOf(response)
  if (response.status !== 200 || !response.body) throw refused(answer)
  const announced = contentLength(answer) ?? 0
  let file = new Blob()
  let chunks: BlobPart[] = []
  let done = 0
  const reader = response.body.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      watch.progress()
      chunks.push(next.value as BlobPart)
      done += next.value.length
      onProgress?.({ done, total: Math.max(announced, done) })
      if (done - file.size < portion) continue
      file = new Blob([file, ...chunks])
      chunks = []
    }
  } catch (error) {
    watch.signal.throwIfAborted()
    throw unreachable(error, done)
  }
  checkAnnounced(done, announced, response)
  return { file: remoteFile(response, done), here: new Blob([file, ...chunks]) }
}

/** Throws unless all that was announced has come. */
function checkAnnounced(done: number, announced: number, response: Response): void {
  // Other origins don't show whether an answer is compressed; there only the browser can check that all of it arrives.
  if (done < announced && response.type !== 'cors') throw cut(done, { start: 0, end: announced })
}

/** How much of a download is collected before the browser gets it, in bytes. */
const portion = 16 * 1024 * 1024

function remoteFile(response: Response, size: number): RemoteFile {
  const answer = answerOf(response)
  // To another origin the header takes a permission that few servers give; there each answer's version is compared alone.
  const conditional = response.type !== 'cors'
  const validator = condition(answer)
  const ranged = contentRange(answer) !== undefined
  return { size, version: version(answer), validator, ranged, condition: conditional ? validator : undefined }
}
