import { advance, type ByteCount, signalIn, watchIn } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import type { Disk, ReadableOptions } from './disk.js'
import type { Extent, MapOptions } from './extent.js'
import { bytesWithin, lengthWithin, rangeOf } from './ranges.js'
import { readStream, type StreamSource } from './stream.js'

/** What all disks of this package have in common: they check what is asked, and read by two methods of their own. */
export abstract class BaseDisk implements Disk {
  abstract get size(): number
  abstract get sync(): boolean
  abstract get closed(): boolean
  abstract map(options?: MapOptions): AsyncIterableIterator<Extent>
  abstract close(): Promise<void>

  /**
   * Reads a range, which has been checked, into an array, or into a new one of a length. Bytes that are at hand need no
   * promise. A read that is `alone` is no sign of others that follow it.
   *
   * @internal
   */
  abstract fetch(
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone?: boolean,
  ): Uint8Array | Promise<Uint8Array>

  /**
   * Fills an array with a range, which has been checked.
   *
   * @internal
   */
  abstract fetchSync(offset: ByteCount, into: Uint8Array): void

  /**
   * Returns what opens runs for one stream, if there is a faster way than reads.
   *
   * @internal
   */
  runs(): StreamSource['openRun'] {
    return undefined
  }

  async read(offset: ByteCount, length: ByteCount, options: RequestOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const count = lengthWithin(offset, length, this.size)
    return this.fetch(offset, count, signalIn(options)) as Promise<Uint8Array<ArrayBuffer>>
  }

  async readInto(offset: ByteCount, into: ArrayBuffer | ArrayBufferView, options: RequestOptions = {}): Promise<void> {
    const outcome = this.fetch(offset, bytesWithin(offset, into, this.size), signalIn(options))
    if (outcome instanceof Promise) await outcome
  }

  readSync(offset: ByteCount, length: ByteCount): Uint8Array<ArrayBuffer> {
    const into = new Uint8Array(lengthWithin(offset, length, this.size))
    this.fetchSync(offset, into)
    return into
  }

  readIntoSync(offset: ByteCount, into: ArrayBuffer | ArrayBufferView): void {
    this.fetchSync(offset, bytesWithin(offset, into, this.size))
  }

  readable(options: ReadableOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readStream(rangeOf(options, this.size), options, {
      read: async (offset, length, signal) => {
        lengthWithin(offset, length, this.size)
        return (await this.fetch(offset, length, signal, true)) as Uint8Array<ArrayBuffer>
      },
      openRun: this.runs(),
    })
  }

  slice(offset: ByteCount, length?: ByteCount): Disk {
    const range = rangeOf({ offset, length }, this.size)
    return new SliceDisk(this, range.offset, range.length)
  }

  /** The same as {@link Disk.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A part of another disk, which it shares. */
class SliceDisk extends BaseDisk {
  readonly #disk: BaseDisk
  readonly #offset: ByteCount
  readonly #length: number
  #closed = false

  constructor(disk: BaseDisk, offset: ByteCount, length: number) {
    super()
    this.#disk = disk
    this.#offset = offset
    this.#length = length
  }

  override get size(): number {
    return this.#length
  }

  override get sync(): boolean {
    return this.#disk.sync
  }

  override get closed(): boolean {
    return this.#closed || this.#disk.closed
  }

  override async *map(options: MapOptions = {}): AsyncGenerator<Extent> {
    const { offset, length } = rangeOf(options, this.#length)
    const start = Number(this.#offset)
    const within = { offset: this.#at(offset), length, ...watchIn(options) }
    for await (const extent of this.#disk.map(within)) yield { ...extent, start: extent.start - start }
  }

  override slice(offset: ByteCount, length?: ByteCount): Disk {
    const range = rangeOf({ offset, length }, this.#length)
    return new SliceDisk(this.#disk, this.#at(range.offset), range.length)
  }

  override async close(): Promise<void> {
    this.#closed = true
  }

  override fetch(
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone?: boolean,
  ): Uint8Array | Promise<Uint8Array> {
    if (this.#closed) throw diskClosed()
    // The disk may have become smaller since the slice was made.
    lengthWithin(this.#at(offset), typeof target === 'number' ? target : target.length, this.#disk.size)
    return this.#disk.fetch(this.#at(offset), target, signal, alone)
  }

  override runs(): StreamSource['openRun'] {
    const open = this.#disk.runs()
    return (
      open &&
      ((offset, ...range) => {
        if (this.#closed) throw diskClosed()
        return open(this.#at(offset), ...range)
      })
    )
  }

  override fetchSync(offset: ByteCount, into: Uint8Array): void {
    if (this.#closed) throw diskClosed()
    lengthWithin(this.#at(offset), into.length, this.#disk.size)
    this.#disk.fetchSync(this.#at(offset), into)
  }

  /** An offset of the slice, on the whole disk. */
  #at(offset: ByteCount): ByteCount {
    return advance(this.#offset, Number(offset))
  }
}

/** The error of what is asked of a disk that is closed. */
export function diskClosed(): Qcow2Error {
  return new Qcow2Error('CLOSED', 'The disk is closed.')
}
