import { follow, unlessAborted } from '../../base/abort.js'
import { isQcow2Error } from '../../base/errors.js'
import type { Progress } from '../../base/progress.js'
import type { Range } from '../cache/segments.js'
import {
  type Answer,
  condition,
  contentRange,
  cut,
  noRanges,
  type RemoteFile,
  rangeHeader,
  refused,
  sizeOf,
  unreachable,
  version,
} from './answer.js'
import { type Patience, retry } from './retry.js'

/** How a file on a server is asked for. */
export interface HttpAccess {
  readonly url: string
  readonly requestInit: RequestInit
  readonly fetchFn: (url: string, init: RequestInit) => Promise<Response>
  readonly patience: Patience
  readonly connections: number
  /** How many bytes the first request asks for. */
  readonly first: number
  readonly download: boolean
  readonly onProgress: ((progress: Progress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** A file that the server has told of. */
export interface Connection {
  readonly file: RemoteFile
  /** The bytes that came with the first answer; all there are, if the file was downloaded. */
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
  return retry(access.patience, access.signal, async () => {
    const response = await send(access, { range: { start: 0, end: access.first } }, access.signal)
    try {
      return await begin(access, response)
    } catch (error) {
      discard(response)
      if (!access.download || !isQcow2Error(error) || error.code !== 'NO_RANGES') throw error
      return download(access, await send(access, {}, access.signal))
    }
  })
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
  signal: AbortSignal | undefined,
): Promise<Response> {
  const headers = new Headers(requestInit.headers)
  if (range) headers.set('range', rangeHeader(range))
  if (condition !== undefined) headers.set('if-range', condition)
  try {
    return await fetchFn(url, { ...requestInit, method, headers, ...(signal && { signal }) })
  } catch (error) {
    signal?.throwIfAborted()
    throw unreachable(error, range?.start)
  }
}

/** The body of an answer: exactly a range. */
export async function body(response: Response, range: Range, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const length = range.end - range.start
  // As long as that, and no longer: the browser sees to it. One that doesn't say may go on for ever.
  const announced = response.headers.get('content-length') === String(length)
  let bytes: Uint8Array
  try {
    bytes = announced ? new Uint8Array(await response.arrayBuffer()) : await beginning(response, length)
  } catch (error) {
    signal?.throwIfAborted()
    throw unreachable(error, range.start)
  }
  if (bytes.length !== length) throw cut(bytes.length, range)
  return bytes
}

/** The body of an answer, unless it is longer than `length`: then no more of it than tells that. */
async function beginning(response: Response, length: number): Promise<Uint8Array> {
  if (!response.body) return new Uint8Array()
  const reader = response.body.getReader()
  const chunks: BlobPart[] = []
  let done = 0
  for (let next = await reader.read(); !next.done && done <= length; next = await reader.read()) {
    chunks.push(next.value as BlobPart)
    done += next.value.length
  }
  // It may have ended, or broken off.
  reader.cancel().catch(() => {})
  return new Uint8Array(await new Blob(chunks).arrayBuffer())
}

/** What an answer says, for those who judge it. */
export function answerOf(response: Response): Answer {
  return { status: response.status, header: (name) => response.headers.get(name) }
}

/** Lets the connection go on which nobody wants the rest of an answer. */
export function discard(response: Response): void {
  // It may be consumed or broken already.
  response.body?.cancel().catch(() => {})
}

async function begin(access: HttpAccess, response: Response): Promise<Connection> {
  const answer = answerOf(response)
  const size = sizeOf(answer) ?? (await measure(access))
  const first = { start: 0, end: Math.min(access.first, size) }
  const here = new Blob(size === 0 ? [] : [(await body(response, first, access.signal)) as BlobPart])
  return { file: remoteFile(response, size), here }
}

/** Asks for the length alone; where that is refused, for everything, of which nothing is waited for but the length. */
async function measure(access: HttpAccess): Promise<number> {
  const length = (await lengthBy('HEAD', access).catch(() => undefined)) ?? (await lengthBy('GET', access))
  if (length !== undefined) return length
  throw noRanges('it does not say how long the file is (across origins: expose the header Content-Range)')
}

/** The length that an answer tells. `Content-Length` may be seen of every server's answers, `Content-Range` not. */
async function lengthBy(method: 'GET' | 'HEAD', access: HttpAccess): Promise<number | undefined> {
  // Browsers ask for the length of a compressed file unless there is a range.
  const range = { start: 0, end: Number.POSITIVE_INFINITY }
  const response = await send(access, { method, range }, access.signal)
  discard(response)
  if (!response.ok) throw refused(answerOf(response))
  const length = response.headers.get('content-length')
  return length ? Number(length) : undefined
}

/** Takes the whole file. It becomes a Blob, which browsers keep on the disk if it is large. */
async function download({ signal, onProgress }: HttpAccess, response: Response): Promise<Connection> {
  if (response.status !== 200 || !response.body) throw refused(answerOf(response))
  // Of compressed answers it tells the length before they are unpacked.
  const encoded = response.headers.has('content-encoding')
  const announced = encoded ? 0 : Number(response.headers.get('content-length') ?? 0)
  let file = new Blob()
  let chunks: BlobPart[] = []
  let done = 0
  const reader = response.body.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value as BlobPart)
      done += next.value.length
      onProgress?.({ done, total: Math.max(announced, done) })
      if (done - file.size < portion) continue
      file = new Blob([file, ...chunks])
      chunks = []
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw unreachable(error, done)
  }
  // Other origins don't show whether an answer is compressed; there the browser alone sees to it that all of it comes.
  if (done < announced && response.type !== 'cors') throw cut(done, { start: 0, end: announced })
  return { file: remoteFile(response, done), here: new Blob([file, ...chunks]) }
}

/** How much of a download is held before it is handed to the browser, in bytes. */
const portion = 16 * 1024 * 1024

function remoteFile(response: Response, size: number): RemoteFile {
  const answer = answerOf(response)
  // To another origin the header takes a permission that few servers give; there each answer's version is compared alone.
  const conditional = response.type !== 'cors'
  const validator = condition(answer)
  const ranged = contentRange(answer) !== undefined
  return { size, version: version(answer), validator, ranged, condition: conditional ? validator : undefined }
}
