import { bytesIn } from '../../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import type { SyncStorage, WritableSyncStorage } from '../../base/storage/contract.js'

/** A file in memory that can be written; its flush has nothing to do. */
export interface Memory extends WritableSyncStorage {
  /** The file as it is, not copied: the array is good until the next write. What isn't flushed is not in it. */
  bytes(): Uint8Array
}

/**
 * An image in memory: a new, empty file to be written, or one with given bytes.
 *
 * @param bytes the whole file. It is never changed, and copied only where it is written; change it yourself only while no
 * image is open over it.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `bytes` is neither a `Uint8Array` nor an `ArrayBuffer`; writes throw
 * `QUOTA` where there is no more memory.
 *
 * @example
 * ```ts
 * const storage = memory()
 * await (await Qcow2.create(storage, { size: 1024 ** 2 })).close()
 * console.log(storage.bytes().length)
 * ```
 */
export function memory(bytes?: Uint8Array | ArrayBuffer): Memory {
  if (bytes !== undefined && !(bytes instanceof Uint8Array) && !(bytes instanceof ArrayBuffer)) {
    throw invalidArgument('memory() takes a Uint8Array or an ArrayBuffer.')
  }
  return new WritableMemory(bytes === undefined ? new Uint8Array() : bytesIn(bytes, 'The file'))
}

/** Bytes that are only read, where no caller could see what is written. */
export function readOnlyMemory(bytes: Uint8Array): SyncStorage {
  return {
    size: () => bytes.length,
    readSync: (offset, into) => into.set(part(bytes, offset, into.length)),
  }
}

class WritableMemory implements Memory {
  /** The file, and zeros after it. */
  #bytes: Uint8Array
  #size: number
  /** The array was made here, so that it can be written. */
  #own = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#size = bytes.length
  }

  size(): number {
    return this.#size
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size)
  }

  readSync(offset: number, into: Uint8Array): void {
    into.set(part(this.bytes(), offset, into.length))
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.#grow(offset + bytes.length)
    this.#bytes.set(bytes, offset)
  }

  truncateSync(size: number): void {
    if (size < this.#size && this.#own) this.#bytes.fill(0, size, this.#size)
    if (size < this.#size && !this.#own) this.#bytes = this.#bytes.subarray(0, size)
    this.#size = Math.min(size, this.#size)
    if (size > this.#size) this.#grow(size)
  }

  flushSync(): void {}

  /** Makes the file at least `size` bytes long, and the array one that can be written. */
  #grow(least: number): void {
    const size = Math.max(least, this.#size)
    if (!this.#own || size > this.#bytes.length) {
      // Twice as much, so that a file which grows by and by is not copied each time.
      const bytes = allocate(Math.max(size, 2 * this.#bytes.length)) ?? allocate(size)
      if (!bytes) throw new Qcow2Error('QUOTA', `There is no memory for a file of ${size} bytes.`)
      bytes.set(this.bytes())
      this.#bytes = bytes
      this.#own = true
    }
    this.#size = size
  }
}

/** An array of zeros, if there is memory for it. */
function allocate(size: number): Uint8Array | undefined {
  try {
    return new Uint8Array(size)
  } catch {
    return undefined
  }
}

function part(file: Uint8Array, offset: number, length: number): Uint8Array {
  const end = offset + length
  if (end > file.length) throw new RangeError(`The file ends at ${file.length}; ${end} was asked for.`)
  return file.subarray(offset, end)
}
