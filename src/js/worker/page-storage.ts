import { ask, isSync, type Storage, type WritableAsyncStorage, type WritableSyncStorage } from '../storage/contract.js'
import { Moved, moved } from './rpc/port.js'

/** A storage of the page that a worker reads and writes. */
export class PageStorage {
  readonly #storage: Storage
  #opened = 0
  #ended = false

  constructor(storage: Storage) {
    this.#storage = storage
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.#storage.open?.({ signal })
    this.#opened += 1
    // Nobody waits for it any more.
    if (this.#ended) await this.close()
  }

  size(): number | Promise<number> {
    return this.#storage.size()
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Moved<Uint8Array>> {
    if (isSync(this.#storage)) {
      const bytes = new Uint8Array(length)
      this.#storage.readSync(offset, bytes)
      return moved(bytes)
    }
    const bytes = await ask(this.#storage, offset, length, { signal })
    // A copy, for it may be a part of an array that the storage keeps. What it is else, the engine refuses.
    return bytes instanceof Uint8Array ? moved(new Uint8Array(bytes)) : new Moved(bytes, [])
  }

  /** Like all that follows: only of a storage that is writable. */
  async write(offset: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).writeSync(offset, bytes)
    else await (this.#storage as WritableAsyncStorage).write(offset, bytes, { signal })
  }

  async truncate(size: number): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).truncateSync(size)
    else await (this.#storage as WritableAsyncStorage).truncate(size)
  }

  async flush(): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).flushSync()
    else await (this.#storage as WritableAsyncStorage).flush()
  }

  async close(): Promise<void> {
    this.#opened -= 1
    await this.#storage.close?.()
  }

  /** Closes what a worker that is gone has left open. */
  async end(): Promise<void> {
    this.#ended = true
    while (this.#opened > 0) await this.close().catch(() => {})
  }
}
