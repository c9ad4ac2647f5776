import { Qcow2Error } from '../../base/errors.js'
import type { Range } from '../cache/segments.js'
import { Transient } from './retry.js'

/** The status and headers of a server's answer. */
export interface Answer {
  readonly status: number
  /** A header, where there is one that may be seen: of another origin's answers few may, unless that server exposes them. */
  header(name: string): string | null
}

/** What identifies one state of a file on a server. */
export interface Version {
  readonly etag: string | null
  readonly modified: string | null
}

/** A file on a server, as the first answer described it. */
export interface RemoteFile {
  /** In bytes. */
  readonly size: number
  readonly version: Version
  /** What changes with every change of its bytes, if the server sends that. */
  readonly validator: string | undefined
  /** True if answers name the part that they carry, as far as that may be seen. */
  readonly ranged: boolean
  /** What `If-Range` is sent, if anything. */
  readonly condition: string | undefined
}

/** The header that asks for a range, which may be without an end. */
export function rangeHeader({ start, end }: Range): string {
  return `bytes=${start}-${Number.isFinite(end) ? end - 1 : ''}`
}

/** The headers that identify the file's state. */
export function version(answer: Answer): Version {
  return { etag: answer.header('etag'), modified: answer.header('last-modified') }
}

/**
 * What may stand in `If-Range`: only what is strong, that is, changes with every change of the bytes (RFC 9110, sections
 * 8.8.1 and 13.1.5).
 */
export function condition(answer: Answer): string | undefined {
  const { etag, modified } = version(answer)
  if (etag) return etag.startsWith('W/') ? undefined : etag
  const date = answer.header('date')
  // A file that was changed in this second may change in it once more.
  const isFinal = modified && date && Date.parse(date) - Date.parse(modified) >= 1000
  return isFinal ? modified : undefined
}

/**
 * How long the file is by the first answer, which was asked for the first `length` bytes and brings a part; `undefined` if it
 * can't be seen there.
 *
 * @throws {@link Qcow2Error} `NO_RANGES`, or another if there is no such file; `Transient` if that may change.
 */
export function sizeOf(answer: Answer, length: number): number | undefined {
  if (answer.status !== 206 && answer.status !== 416) throw refused(answer)
  const range = contentRange(answer)
  // RFC 9110, section 15.5.17: there is no first byte of an empty file.
  if (answer.status === 416 && range?.size === 0) return 0
  if (answer.status === 416) throw refused(answer)
  if (isEncoded(answer)) throw noRanges('it sends the file compressed')
  if (range && (range.start !== 0 || range.end !== Math.min(length, range.size ?? length))) throw wrongRange(0)
  return range?.size
}

/**
 * Throws unless an answer brings a range of the file as it was when it was first seen.
 *
 * @throws {@link Qcow2Error} `FILE_CHANGED`, `NO_RANGES`, `STORAGE`; `Transient` if the next answer may be another.
 */
export function judge(answer: Answer, file: RemoteFile, { start, end }: Range): void {
  const { status } = answer
  if ([200, 404, 410, 412, 416].includes(status)) throw status === 200 ? whole(answer, file, start) : changed(start)
  if (status !== 206) throw refused(answer, start)
  const range = contentRange(answer)
  if (differs(version(answer), file.version) || (range?.size ?? file.size) !== file.size) throw changed(start)
  if (isEncoded(answer)) throw noRanges('it sends parts of the file compressed')
  if (range ? range.start !== start || range.end !== end : file.ranged) throw wrongRange(start)
}

/** Names a file in a state. The address is without what may be secret in it. */
export function identity(url: string, { size, version }: RemoteFile): string {
  const { origin, pathname } = new URL(url, globalThis.location?.href)
  const state = new URLSearchParams({ size: String(size) })
  if (version.etag) state.set('etag', version.etag)
  else if (version.modified) state.set('modified', version.modified)
  return `${origin}${pathname}#${state}`
}

/** The error where ranges are asked for in vain. */
export function noRanges(why: string): Qcow2Error {
  const reason = `The server can't give parts of the file: ${why}. With download: true the whole file is fetched first.`
  return new Qcow2Error('NO_RANGES', reason)
}

/** The error for an answer that is none to the question. */
export function refused(answer: Answer, offset?: number): Error {
  const { status } = answer
  const error = new Qcow2Error('STORAGE', `The server answered with status ${status}.`, { offset })
  if (![408, 425, 429, 500, 502, 503, 504].includes(status)) return error
  return new Transient(error, { after: retryAfter(answer) })
}

/** The error for what may be a fault of the network. */
export function unreachable(cause: unknown, offset?: number): Transient {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new Transient(
    new Qcow2Error('STORAGE', `The server could not be reached, or broke off: ${why}.`, { offset, cause }),
  )
}

/** The error where a server accepts a request, and then sends nothing for so many milliseconds. */
export function silent(timeout: number, offset: number): Transient {
  const reason = `The server has sent nothing for ${timeout / 1000} seconds. Try again later, or allow a longer timeout.`
  // Once more, since a connection may have been lost without a word.
  return new Transient(new Qcow2Error('STORAGE', reason, { offset }), { retries: 1 })
}

/** The error where a server redirects, and what follows fails: browsers do not report whether the redirects end. */
export function lostRedirect({ error }: Transient): Transient {
  const why = 'The server redirects, and following that failed'
  const reason = `${why}: the redirects may form a loop, or lead to a server that can't be reached. Check the address.`
  // Each attempt may follow some twenty redirects.
  return new Transient(new Qcow2Error('STORAGE', reason, { cause: error.cause }), { retries: 1 })
}

/** True if an answer redirects; where redirects are not followed, browsers show nothing else of it. */
export function isRedirect({ type, status }: Response): boolean {
  return type === 'opaqueredirect' || [301, 302, 303, 307, 308].includes(status)
}

/** The error for a body of another length than its header said; it was cut off. */
export function cut(length: number | undefined, { start, end }: Range): Transient {
  return unreachable(new RangeError(`${length ?? 'more than'} of ${end - start} bytes came`), start)
}

/** The whole file came: because it is another one, if the server does as it should. */
function whole(answer: Answer, file: RemoteFile, offset: number): Qcow2Error {
  const same = file.condition === undefined && !differs(version(answer), file.version)
  return same ? noRanges('it did before, and does no more') : changed(offset)
}

function differs(now: Version, then: Version): boolean {
  if (now.etag && then.etag) return now.etag !== then.etag
  return Boolean(now.modified && then.modified) && now.modified !== then.modified
}

function changed(offset: number): Qcow2Error {
  return new Qcow2Error('FILE_CHANGED', 'The file on the server is another than it was when it was opened.', { offset })
}

function wrongRange(offset: number): Qcow2Error {
  return new Qcow2Error('STORAGE', 'The server sent another part of the file than it was asked for.', { offset })
}

function nonsense(what: string): Qcow2Error {
  return new Qcow2Error('STORAGE', `The server's answers about the file contradict each other: ${what}.`)
}

export function isEncoded(answer: Answer): boolean {
  return !['identity', '', null].includes(answer.header('content-encoding'))
}

/**
 * RFC 9110, section 14.4: `bytes 0-99/1000`, with an asterisk for what is not known.
 *
 * @throws {@link Qcow2Error} `STORAGE` if no file has such a part.
 */
export function contentRange(answer: Answer): { start?: number; end?: number; size?: number } | undefined {
  const header = answer.header('content-range')?.trim() ?? ''
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(header)
  if (!match) return undefined
  const [, first, last, length] = match
  const range = first && last ? { start: Number(first), end: Number(last) + 1 } : undefined
  const size = length && length !== '*' ? Number(length) : undefined
  const isPart = !range || (range.start < range.end && range.end <= (size ?? Number.MAX_SAFE_INTEGER))
  if (!isPart || !(size === undefined || Number.isSafeInteger(size))) throw nonsense(`Content-Range: ${header}`)
  return { ...range, ...(size !== undefined && { size }) }
}

/** How many bytes an answer announces; `undefined` if it does not, or if the length is that of compressed bytes. */
export function contentLength(answer: Answer): number | undefined {
  const header = answer.header('content-length')
  if (!header || isEncoded(answer)) return undefined
  const length = Number(header)
  if (!Number.isSafeInteger(length) || length < 0) throw nonsense(`Content-Length: ${header}`)
  return length
}

/** Seconds, or a date (RFC 9110, section 10.2.3), as milliseconds from now. */
function retryAfter(answer: Answer): number {
  const value = answer.header('retry-after')
  if (!value) return 0
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Math.max(milliseconds, 0) || 0
}
