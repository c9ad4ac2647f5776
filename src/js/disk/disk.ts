import type { ByteCount } from '../base/arguments.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Extent, MapOptions, RangeOptions } from './extent.js'

/**
 * Bytes that can be read at any offset: an image with its whole backing chain, a snapshot, a VM state, a raw file, or a part
 * of one of these. {@link convert} and everything else that reads disks takes any of them, and each can be given where a
 * storage is wanted, for example as a backing file.
 *
 * Requests overlap: none need wait for another. Sizes and offsets are in bytes; they may be numbers up to
 * `Number.MAX_SAFE_INTEGER`, or bigints.
 */
export interface Disk {
  /** The size in bytes. */
  readonly size: number
  /** True if the methods whose names end in `Sync` work: all bytes are available without waiting. */
  readonly sync: boolean
  /** True from the moment that `close` was called. */
  readonly closed: boolean

  /**
   * Reads a part of the disk into a new array.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `CORRUPT_…`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  read(offset: ByteCount, length: ByteCount, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>>

  /**
   * Reads a part of the disk into an array of yours, which it fills. Faster than {@link Disk.read} for many small reads. If it
   * fails, the contents of the array are unspecified.
   *
   * @throws {@link Qcow2Error} as {@link Disk.read}.
   */
  readInto(offset: ByteCount, into: ArrayBuffer | ArrayBufferView, options?: RequestOptions): Promise<void>

  /**
   * As {@link Disk.read}, without waiting; only where the disk is {@link Disk.sync}.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `read` rejects with.
   */
  readSync(offset: ByteCount, length: ByteCount): Uint8Array<ArrayBuffer>

  /**
   * As {@link Disk.readInto}, without waiting; only where the disk is {@link Disk.sync}.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `read` rejects with.
   */
  readIntoSync(offset: ByteCount, into: ArrayBuffer | ArrayBufferView): void

  /**
   * The runs of the disk in order: what is stored, where, and what reads as zeros; as `qemu-img map` reports them. Of a disk
   * that is not an image it is one run of data.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT` when it is called; while it is walked, what reading tables leads to,
   * or the signal's reason.
   */
  map(options?: MapOptions): AsyncIterableIterator<Extent>

  /**
   * Returns the disk, or a part of it, as a stream. It reads at most four chunks ahead of what you took from it. Long parts that
   * the file of a `Blob` has side by side come from one stream of the browser, which may read further ahead on its own. Cancel the
   * stream, or abort its signal, to drop the requests in flight. Errors of {@link Disk.read} end it.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT`.
   */
  readable(options?: ReadableOptions): ReadableStream<Uint8Array<ArrayBuffer>>

  /**
   * A part of the disk as a disk of its own, such as a partition. It shares this disk and needs no closing.
   *
   * @param length in bytes. Default: up to the disk's end.
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT`.
   */
  slice(offset: ByteCount, length?: ByteCount): Disk

  /** Closes the disk, and releases what it has open; a second call waits for the first. */
  close(): Promise<void>

  /** The same as {@link Disk.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A disk that can be written. */
export interface WritableDisk extends Disk {
  /** True if writes are refused with code `READ_ONLY`: the disk was not opened for writing. */
  readonly readOnly: boolean

  /**
   * Writes to a part of the disk. Durable after a {@link WritableDisk.flush}.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `READ_ONLY`, `QUOTA`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  write(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView, options?: RequestOptions): Promise<void>

  /**
   * Makes a part of the disk read as zeros.
   *
   * @throws {@link Qcow2Error} what {@link WritableDisk.write} rejects with.
   */
  writeZeroes(offset: ByteCount, length: ByteCount, options?: WriteZeroesOptions): Promise<void>

  /**
   * Declares that the contents of a part of the disk are no longer needed.
   *
   * @throws {@link Qcow2Error} what {@link WritableDisk.write} rejects with.
   */
  discard(offset: ByteCount, length: ByteCount, options?: RequestOptions): Promise<void>

  /**
   * Makes durable what was written before, as far as the storage can.
   *
   * @throws {@link Qcow2Error} what {@link WritableDisk.write} rejects with.
   */
  flush(options?: RequestOptions): Promise<void>

  /** As {@link WritableDisk.write}, without waiting; only where the disk is {@link Disk.sync}. */
  writeSync(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView): void
  /** As {@link WritableDisk.writeZeroes}, without waiting; only where the disk is {@link Disk.sync}. */
  writeZeroesSync(offset: ByteCount, length: ByteCount, options?: Pick<WriteZeroesOptions, 'unmap'>): void
  /** As {@link WritableDisk.discard}, without waiting; only where the disk is {@link Disk.sync}. */
  discardSync(offset: ByteCount, length: ByteCount): void
  /** As {@link WritableDisk.flush}, without waiting; only where the disk is {@link Disk.sync}. */
  flushSync(): void

  /**
   * The disk, or a part of it, as a stream to write to, from its beginning on. The disk is flushed when the stream is closed;
   * it stays open. More bytes than fit are an error with code `OUT_OF_BOUNDS`.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT`.
   */
  writable(options?: WritableOptions): WritableStream<Uint8Array>
}

/** What {@link Disk.readable} reads. Progress is reported for each chunk, in bytes of the range. */
export interface ReadableOptions extends RangeOptions, LongOptions {
  /** The length of each chunk but the last, in bytes. Default: 1 MiB. */
  readonly chunkSize?: number | undefined
}

/** What {@link WritableDisk.writable} writes to. Progress is reported for each chunk, in bytes of the range. */
export interface WritableOptions extends RangeOptions, LongOptions {}

/** How {@link WritableDisk.writeZeroes} writes. */
export interface WriteZeroesOptions extends RequestOptions {
  /** Frees the clusters that are entirely in the range. Default: false, what is allocated stays. */
  readonly unmap?: boolean | undefined
}

/**
 * True if `value` is a disk, by its shape.
 *
 * @example
 * ```ts
 * const disk = await raw(memory(new Uint8Array(512)))
 * console.log(isDisk(disk), isDisk({ size: 512 })) // true false
 * ```
 */
export function isDisk(value: unknown): value is Disk {
  if (typeof value !== 'object' || value === null) return false
  const { size, readInto, readable, map } = value as { readonly [K in keyof Disk]?: unknown }
  return typeof size === 'number' && [readInto, readable, map].every((each) => typeof each === 'function')
}
