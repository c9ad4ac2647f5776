import { unlessAborted } from '../base/abort.js'
import type { Run } from '../base/storage/contract.js'
import { FilesError } from './errors.js'
import type { FileExtent } from './parser.js'
import { type Session, shortDisk } from './session.js'

/** The extents of this many bytes are looked up together. The parser has a buffer of this size meanwhile. */
const windowSize = 8 << 20
/** The most windows that are kept: the ones being read, and the next one. */
const keptWindows = 3
/** The most parts that are read at the same time. */
const atOnce = 8

/**
 * The contents of one file, or of its first bytes. The parser finds out where they are; this class reads them from the
 * disk, so that they need not pass through the parser.
 */
export class Contents {
  readonly #session: Session
  readonly #path: Uint8Array
  readonly #title: string
  readonly #end: number
  /** The extents of the windows, by their number. */
  readonly #windows = new Map<number, Promise<readonly FileExtent[]>>()
  #version: number

  /**
   * @param title the path for messages.
   * @param end where the last byte that is read ends.
   */
  constructor(session: Session, path: Uint8Array, title: string, end: number) {
    this.#session = session
    this.#path = path
    this.#title = title
    this.#end = end
    this.#version = session.version
  }

  /** Reads a range into a new array. */
  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
    const parts = await this.#parts(offset, Math.min(length, windowSize), signal)
    const [first] = parts
    if (first?.offset !== undefined && first.length === length) {
      return (await this.#session.read(first.offset, length, signal)) as Uint8Array<ArrayBuffer>
    }
    const all = new Uint8Array(length)
    await this.#fill(all.subarray(0, windowSize), parts, signal)
    for (let done = windowSize; done < length; done += windowSize) {
      const into = all.subarray(done, done + windowSize)
      await this.#fill(into, await this.#parts(offset + done, into.length, signal), signal)
    }
    return all
  }

  /** Fills an array of zeros with the bytes of some parts. */
  async #fill(into: Uint8Array, parts: readonly FileExtent[], signal: AbortSignal | undefined): Promise<void> {
    const starts: number[] = []
    let end = 0
    for (const { length } of parts) {
      starts.push(end)
      end += length
    }
    const waiting = parts.entries()
    let failed = false
    const inTurn = async () => {
      for (const [index, { offset, length, bytes }] of waiting) {
        if (failed) return
        const found = offset === undefined ? bytes : await this.#session.read(offset, length, signal)
        if (found) into.set(found, starts[index])
      }
    }
    const fail = (error: unknown) => {
      failed = true
      throw error
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, parts.length) }, () => inTurn().catch(fail)))
  }

  /** Opens the run at `offset`, for a stream: see `StreamSource`. */
  async openRun(offset: number, length: number, unit: number, signal: AbortSignal): Promise<Run | undefined> {
    const [first] = await this.#parts(offset, Math.min(length, windowSize), signal)
    if (first?.offset === undefined) return undefined
    const whole = first.length === length ? length : first.length - (first.length % unit)
    const stream = whole > 0 ? this.#session.readable(first.offset, whole, unit, signal) : undefined
    if (!stream) return undefined
    const reader = stream.getReader()
    const read = async (count: number) => {
      const { value } = await reader.read()
      if (value?.length !== count) throw shortDisk()
      return value as Uint8Array<ArrayBuffer>
    }
    // A stream that failed rejects its reads, too.
    return { length: whole, read, close: () => void reader.cancel().catch(() => {}) }
  }

  /** The extents of a range, cut to it. */
  async #parts(offset: number, length: number, signal: AbortSignal | undefined): Promise<FileExtent[]> {
    const parts: FileExtent[] = []
    let at = offset
    while (at < offset + length) {
      const index = Math.floor(at / windowSize)
      const extents = await unlessAborted(this.#window(index, signal), signal)
      // The parser looks the next ones up while these are read.
      if ((index + 1) * windowSize < this.#end) this.#window(index + 1, signal)
      const before = at
      let start = index * windowSize
      for (const extent of extents) {
        const end = Math.min(start + extent.length, offset + length)
        if (end > at) {
          parts.push(partOf(extent, at - start, end - at))
          at = end
        }
        start += extent.length
      }
      if (at === before) throw new FilesError('DAMAGED', `${this.#title} ends before its size.`)
    }
    return parts
  }

  #window(index: number, signal: AbortSignal | undefined): Promise<readonly FileExtent[]> {
    if (this.#version !== this.#session.version) {
      this.#version = this.#session.version
      this.#windows.clear()
    }
    let window = this.#windows.get(index)
    if (!window) {
      const args = [this.#path, index * windowSize, windowSize] as const
      window = this.#session.call<FileExtent[]>({ method: 'extents', args }, signal)
      // What fails here is looked up again when it is needed, and fails there.
      window.catch(() => this.#windows.delete(index))
      this.#windows.set(index, window)
      const [oldest] = this.#windows.keys()
      if (this.#windows.size > keptWindows && oldest !== undefined) this.#windows.delete(oldest)
    }
    return window
  }
}

function partOf({ offset, bytes }: FileExtent, start: number, length: number): FileExtent {
  if (offset !== undefined) return { length, offset: offset + start }
  return bytes ? { length, bytes: bytes.subarray(start, start + length) } : { length }
}
