/**
 * A disk as the answers of a Service Worker, so that everything that reads a URL can read it.
 *
 * @packageDocumentation
 */

import { integer, optionsIn, show, text, withMethods } from '../base/arguments.js'
import { isQcow2Error, Qcow2Error } from '../index.js'
import { bodyOf, multipartOf, type ServedDisk } from './serve/body.js'
import { type ByteRange, parseRanges } from './serve/ranges.js'

export type { ServedDisk } from './serve/body.js'

/** How {@link serve} answers. */
export interface ServeOptions {
  /** The media type of the disk. Default: `application/octet-stream`. */
  readonly type?: string | undefined
  /** The name under which a browser saves the disk; with it, the answer is a download. */
  readonly filename?: string | undefined
  /**
   * Names the state of the disk, as the text of a strong ETag without its quotes. Two states with the same name must have the
   * same bytes. Default: for a disk that is not writable, a name of its own as long as it is open; for others none.
   */
  readonly etag?: string | undefined
}

/**
 * Answers a request for a disk: GET and HEAD, with one range or several, `If-Range`, `If-None-Match` and `If-Match`. The body
 * is read while the browser takes it, and ends when the request is aborted.
 *
 * A Service Worker that is stopped and started again opens the image again: give an `etag`, so that readers notice no change.
 *
 * @param request the request of the fetch event. Its URL is not looked at.
 * @param disk an image, a snapshot, or any object with `size` and `read`.
 * @returns the answer: 200, 206, 304, 405, 412, 416, or 500 with the error's code and sentence as its text if the disk can't
 * be read. A later error ends the body.
 *
 * @example
 * ```ts
 * // In the Service Worker. It has no OPFS access handles and starts no workers: http, blob, idb, fileHandle and memory work.
 * const opening = Qcow2.open(http('https://example.org/disk.qcow2'))
 * self.addEventListener('fetch', (event) => {
 *   if (new URL(event.request.url).pathname === '/disk.img') {
 *     event.respondWith(opening.then((image) => serve(event.request, image, { etag: 'disk 1' })))
 *   }
 * })
 * ```
 */
export async function serve(request: Request, disk: ServedDisk, options: ServeOptions = {}): Promise<Response> {
  if (!(request instanceof Request))
    throw new Qcow2Error('INVALID_ARGUMENT', `The request must be a Request; it is ${show(request)}.`)
  integer(withMethods(disk, ['read'], 'The disk').size, 'The size of the disk')
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } })
  const { size } = disk
  const etag = etagOf(disk, optionsIn(options))
  const headers = commonHeaders(options, etag)
  const precondition = preconditionOf(request, etag)
  if (precondition !== undefined) return new Response(null, { status: precondition, headers })

  const wanted = rangesOf(request, etag, size)
  if (wanted === 'unsatisfiable') {
    headers.set('content-range', `bytes */${size}`)
    return new Response(null, { status: 416, headers })
  }
  try {
    return await answer(request, disk, headers, wanted)
  } catch (error) {
    if (request.signal.aborted) throw error
    const words = isQcow2Error(error) ? `${error.code}: ${error.reason}` : String(error)
    return new Response(request.method === 'HEAD' ? null : `The disk can't be read. ${words}\n`, {
      status: 500,
      headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
    })
  }
}

async function answer(
  request: Request,
  disk: ServedDisk,
  headers: Headers,
  ranges: readonly ByteRange[] | undefined,
): Promise<Response> {
  const { size } = disk
  const [first, ...others] = ranges ?? [{ start: 0, end: size }]
  const status = ranges ? 206 : 200
  if (first && others.length > 0) {
    const type = headers.get('content-type') ?? ''
    const { body, length, boundary } = await multipartOf(disk, [first, ...others], type, request)
    headers.set('content-type', `multipart/byteranges; boundary=${boundary}`)
    headers.set('content-length', String(length))
    return new Response(body, { status, headers })
  }
  const { start, end } = first ?? { start: 0, end: 0 }
  if (ranges) headers.set('content-range', `bytes ${start}-${end - 1}/${size}`)
  headers.set('content-length', String(end - start))
  return new Response(await bodyOf(disk, { start, end }, request), { status, headers })
}

function commonHeaders({ type, filename }: ServeOptions, etag: string | undefined): Headers {
  const headers = new Headers({ 'accept-ranges': 'bytes' })
  setType(headers, text(type ?? 'application/octet-stream', 'type'))
  if (etag) headers.set('etag', etag)
  else headers.set('cache-control', 'no-store')
  if (filename !== undefined)
    headers.set(
      'content-disposition',
      `attachment; filename*=UTF-8''${encoded(text(filename, 'filename')).replaceAll("'", '%27')}`,
    )
  return headers
}

function setType(headers: Headers, type: string): void {
  try {
    headers.set('content-type', type)
  } catch {
    throw new Qcow2Error('INVALID_ARGUMENT', `type must be a media type; it is ${show(type)}.`)
  }
}

/** The names of disks whose bytes don't change, as long as they are open. */
const names = new WeakMap<object, string>()

function etagOf(disk: ServedDisk, { etag }: ServeOptions): string | undefined {
  // A quote would end the header's value.
  if (etag !== undefined) return `"${encoded(text(etag, 'etag'))}"`
  if (disk.readOnly !== true) return undefined
  let name = names.get(disk)
  if (name === undefined) {
    name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('')
    names.set(disk, name)
  }
  return `"${name}"`
}

/** `value` percent-encoded. Half of a surrogate pair, which has no encoding, becomes U+FFFD. */
function encoded(value: string): string {
  return encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\ufffd'))
}

/** The status that the request's conditions lead to, if they keep it from being served. */
function preconditionOf({ headers }: Request, etag: string | undefined): 304 | 412 | undefined {
  const match = headers.get('if-match')
  if (match !== null && !lists(match, etag)) return 412
  const none = headers.get('if-none-match')
  if (none !== null && lists(none.replaceAll('W/', ''), etag)) return 304
  return undefined
}

function lists(value: string, etag: string | undefined): boolean {
  if (value.trim() === '*') return true
  return etag !== undefined && value.split(',').some((each) => each.trim() === etag)
}

/** The ranges to serve; `undefined` for the whole disk. */
function rangesOf({ headers }: Request, etag: string | undefined, size: number) {
  const range = headers.get('range')
  if (range === null) return undefined
  const condition = headers.get('if-range')
  // A reader that has a part of another state must get all of this one.
  if (condition !== null && condition !== etag) return undefined
  return parseRanges(range, size)
}
