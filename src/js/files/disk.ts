import { callback, flag, integer } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'

/**
 * What this module needs of a disk: an image, a snapshot, a partition, or any object that has these members.
 *
 * Only changing a FAT volume writes; everything else only reads, and reads no more than it needs.
 */
export interface FilesDisk {
  /** The size in bytes. */
  readonly size: number
  /** Reads `length` bytes at `offset` into a new array. Rejects if it cannot read all of them. */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>
  /** Streams a range in chunks of `chunkSize` bytes, if that is faster than reads: for the contents of large files. */
  readable?(options: {
    readonly offset: number
    readonly length: number
    readonly chunkSize: number
    readonly signal: AbortSignal
  }): ReadableStream<Uint8Array>
  /** True if `readSync` works, so that nothing has to be read twice. */
  readonly sync?: boolean
  /** As `read`, synchronously. */
  readSync?(offset: number, length: number): Uint8Array
  /** True if writes are refused. */
  readonly readOnly?: boolean
  /** Writes bytes at `offset`. */
  write?(offset: number, bytes: Uint8Array, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** Makes durable what was written before. */
  flush?(): Promise<void>
}

/** Throws unless `disk` has the members of a {@link FilesDisk}. */
export function checkDisk(disk: FilesDisk): void {
  if (typeof disk !== 'object' || disk === null)
    throw invalidArgument('The disk must be an image, a snapshot, or an object with size and read.')
  integer(disk.size, 'disk.size')
  if (typeof disk.read !== 'function') throw invalidArgument('disk.read must be a function.')
  callback(disk.readable, 'disk.readable')
  if (flag(disk.sync, 'disk.sync') && typeof disk.readSync !== 'function')
    throw invalidArgument('disk.readSync must be a function, for disk.sync is true.')
  callback(disk.readSync, 'disk.readSync')
  flag(disk.readOnly, 'disk.readOnly')
  callback(disk.write, 'disk.write')
  callback(disk.flush, 'disk.flush')
}
