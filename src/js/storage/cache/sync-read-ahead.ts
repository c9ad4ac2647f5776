import type { StorageOpenOptions, SyncStorage } from '../../base/storage/contract.js'
import type { ReadAheadLimits } from './limits.js'
import { copy, type Range, type Segment, Segments } from './segments.js'
import { SequentialReaders } from './sequential.js'

/** Read-ahead where nothing happens in the background: what is ahead comes together with what was asked for. */
export class SyncReadAhead implements SyncStorage {
  readonly #storage: SyncStorage
  readonly #limits: ReadAheadLimits
  readonly #segments: Segments<Segment>
  readonly #readers: SequentialReaders
  #users = 0

  constructor(storage: SyncStorage, limits: ReadAheadLimits) {
    this.#storage = storage
    this.#limits = limits
    this.#segments = new Segments(limits.budget)
    this.#readers = new SequentialReaders({ window: limits.window })
  }

  /** What is read ahead. */
  get source(): SyncStorage {
    return this.#storage
  }

  async open(options?: StorageOpenOptions): Promise<void> {
    await this.#storage.open?.(options)
    this.#users += 1
  }

  identity(): string | undefined {
    return this.#storage.identity?.()
  }

  async allocatedSize(): Promise<number> {
    return (await this.#storage.allocatedSize?.()) ?? this.#storage.size()
  }

  size(): number {
    return this.#storage.size()
  }

  readSync(offset: number, into: Uint8Array): void {
    const range = { start: offset, end: offset + into.length }
    const size = this.#storage.size()
    // Past the end: the storage reports the error. Too large to be kept: nothing is gained here.
    const foreign = into.length === 0 || range.end > size || into.length > this.#limits.budget / 2
    if (foreign) {
      this.#storage.readSync(offset, into)
      return
    }
    const here = this.#segments.within(range)
    this.#segments.hold(here)
    try {
      const fetched = this.#segments.gaps(range).map((gap) => this.#fetch(gap, size))
      copy([...here, ...fetched], offset, into)
    } finally {
      this.#segments.release(here)
    }
  }

  close(): void | Promise<void> {
    this.#users -= 1
    if (this.#users <= 0) this.#segments.clear()
    return this.#storage.close?.()
  }

  /** Fetches a range that must be, and what is likely to be next to it. */
  #fetch(gap: Range, size: number): Segment {
    const { block } = this.#limits
    const { ahead, passed } = this.#readers.request(gap)
    this.#segments.pass(passed)
    const start = Math.floor(gap.start / block) * block
    const end = Math.max(Math.ceil(gap.end / block) * block, ahead.end)
    const range = this.#segments.widen(gap, { start, end: Math.min(end, size) })
    const bytes = new Uint8Array(range.end - range.start)
    this.#storage.readSync(range.start, bytes)
    const segment = { ...range, bytes, users: 0, dropped: false }
    this.#segments.add(segment)
    return segment
  }
}
