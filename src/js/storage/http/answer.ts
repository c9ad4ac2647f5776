import { Qcow2Error } from '../../base/errors.js'
import type { Range } from '../cache/segments.js'
import { Transient } from './retry.js'

/** What an answer of a server says before its body. */
export interface Answer {
  readonly status: number
  /** A header, where there is one that may be seen: of another origin's answers few may, unless that server exposes them. */
  header(name: string): string | null
}

/** What tells one state of a file on a server from another. */
export interface Version {
  readonly etag: string | null
  readonly modified: string | null
}

/** A file on a server, as the first answer described it. */
export interface RemoteFile {
  /** In bytes. */
  readonly size: number
  readonly version: Version
  /** What changes with every change of its bytes, if the server tells that. */
  readonly validator: string | undefined
  /** True if answers say which part they bring, as far as that may be seen. */
  readonly ranged: boolean
  /** What `If-Range` is sent, if anything. */
  readonly condition: string | undefined
}

/** The header that asks for a range, which may be without an end. */
export function rangeHeader({ start, end }: Range): string {
  return `bytes=${start}-${Number.isFinite(end) ? end - 1 : ''}`
}

/** What the headers say that identifies the file's state. */
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
  const settled = modified && date && Date.parse(date) - Date.parse(modified) >= 1000
  return settled ? modified : undefined
}

/**
 * How long the file is by the first answer, which was asked for a range that begins at 0; `undefined` if it can't be
 * seen there.
 *
 * @throws {@link Qcow2Error} `NO_RANGES`, or another if there is no such file; `Transient` if that may change.
 */
export function sizeOf(answer: Answer): number | undefined {
  const range = contentRange(answer)
  // RFC 9110, section 15.5.17: there is no first byte of an empty file.
  if (answer.status === 416 && range?.size === 0) return 0
  if (answer.status === 200 && answer.header('content-length') === '0') return 0
  if (answer.status === 200) throw noRanges('it sends the whole file where a part was asked for')
  if (answer.status !== 206) throw refused(answer)
  if (isEncoded(answer)) throw noRanges('it sends the file compressed')
  if (range && range.start !== 0) throw wrongRange(0)
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
  return new Transient(error, retryAfter(answer))
}

/** The error for what may be a fault of the network. */
export function unreachable(cause: unknown, offset?: number): Transient {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new Transient(
    new Qcow2Error('STORAGE', `The server could not be reached, or broke off: ${why}.`, { offset, cause }),
  )
}

/** The error for a body that is not as long as its header said; it was cut off. */
export function cut(length: number, { start, end }: Range): Transient {
  return unreachable(new RangeError(`${length} of ${end - start} bytes came`), start)
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

function isEncoded(answer: Answer): boolean {
  return !['identity', '', null].includes(answer.header('content-encoding'))
}

/** RFC 9110, section 14.4: `bytes 0-99/1000`, with an asterisk for what is not known. */
export function contentRange(answer: Answer): { start?: number; end?: number; size?: number } | undefined {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(answer.header('content-range')?.trim() ?? '')
  if (!match) return undefined
  const [, first, last, size] = match
  return {
    ...(first && last && { start: Number(first), end: Number(last) + 1 }),
    ...(size && size !== '*' && { size: Number(size) }),
  }
}

/** Seconds, or a date (RFC 9110, section 10.2.3), as milliseconds from now. */
function retryAfter(answer: Answer): number {
  const value = answer.header('retry-after')
  if (!value) return 0
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Math.max(milliseconds, 0) || 0
}
