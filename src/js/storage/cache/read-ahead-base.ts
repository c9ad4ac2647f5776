import type { Storage, StorageOpenOptions } from '../../base/storage/contract.js'

/** What read-ahead over storages of both kinds has in common: it opens, describes and closes the storage below. */
export abstract class ReadAheadBase<S extends Storage> {
  /** The storage below. */
  readonly source: S
  #users = 0

  constructor(source: S) {
    this.source = source
  }

  async open(options?: StorageOpenOptions): Promise<void> {
    await this.source.open?.(options)
    this.#users += 1
  }

  identity(): string | undefined {
    return this.source.identity?.()
  }

  async allocatedSize(): Promise<number> {
    return (await this.source.allocatedSize?.()) ?? this.source.size()
  }

  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users <= 0) this.drop()
    await this.source.close?.()
  }

  /** Forgets what was read: the last user has closed the storage. */
  protected abstract drop(): void
}
