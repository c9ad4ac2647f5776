import { checkWritable, explain, measure, ready } from '../engine/storages.js'
import { claim, disclaim } from '../storage/claims.js'
import { isSync, type WritableStorage } from '../storage/contract.js'

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
    return attempt('written', () =>
      isSync(storage) ? storage.writeSync(offset, bytes) : storage.write(offset, bytes, { signal }),
    )
  }

  truncate(size: number): Promise<void> {
    const storage = this.#storage
    return attempt('resized', () => (isSync(storage) ? storage.truncateSync(size) : storage.truncate(size)))
  }

  /** Makes durable what was written, and closes. */
  async close(): Promise<void> {
    const storage = this.#storage
    try {
      await attempt('flushed', () => (isSync(storage) ? storage.flushSync() : storage.flush()))
    } finally {
      disclaim(storage)
      await storage.close?.()
    }
  }
}

async function attempt<T>(what: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    throw explain(what, cause)
  }
}
