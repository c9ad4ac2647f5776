import { checkWritable, explaining, measure, ready } from '../base/storage/access.js'
import { claim, disclaim } from '../base/storage/claims.js'
import { isSync, type WritableStorage } from '../base/storage/contract.js'

/** A file that is written as it is, with no image in it. */
export class RawFile {
  readonly #storage: WritableStorage

  /** Takes the storage over, until this is closed; unless `signal` aborts before. */
  static async open(storage: WritableStorage, signal?: AbortSignal): Promise<RawFile> {
    checkWritable(storage)
    claim(storage, 'write')
    await ready(storage, signal, () => disclaim(storage))
    return new RawFile(storage)
  }

  private constructor(storage: WritableStorage) {
    this.#storage = storage
  }

  size(): Promise<number> {
    return measure(this.#storage)
  }

  /** Writes bytes, which nobody changes later. */
  write(offset: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    const storage = this.#storage
    return explaining('written', () =>
      isSync(storage) ? storage.writeSync(offset, bytes) : storage.write(offset, bytes, { signal }),
    )
  }

  truncate(size: number): Promise<void> {
    const storage = this.#storage
    return explaining('resized', () => (isSync(storage) ? storage.truncateSync(size) : storage.truncate(size)))
  }

  /** Makes durable what was written, and closes. */
  async close(): Promise<void> {
    const storage = this.#storage
    try {
      await explaining('flushed', () => (isSync(storage) ? storage.flushSync() : storage.flush()))
    } finally {
      disclaim(storage)
      await storage.close?.()
    }
  }
}
