import type { SyncStorage } from '../../base/storage/contract.js'
import type { ReadAheadLimits } from './limits.js'
import { ReadAheadBase } from './read-ahead-base.js'
import { copy, type Range, type Segment, Segments } from './segments.js'
import { SequentialReaders } from './sequential.js'

/** Read-ahead where nothing happens in the background: what is ahead comes together with what was asked for. */
export class SyncReadAhead extends ReadAheadBase<SyncStorage> implements SyncStorage {
  readonly #limits: ReadAheadLimits
  readonly #segments: Segments<Segment>
  readonly #readers: SequentialReaders

  constructor(storage: SyncStorage, limits: ReadAheadLimits) {
    super(storage)
    this.#limits = limits
    this.#segments = new Segments(limits.budget)
    this.#readers = new SequentialReaders({ window: limits.window })
  }

  size(): number {
    return this.source.size()
  }

  readSync(offset: number, into: Uint8Array): void {
    const range = { start: offset, end: offset + into.length }
    const size = this.source.size()
    // Past the end: the storage reports the error. Too large to be kept: nothing is gained here.
    const foreign = into.length === 0 || range.end > size || into.length > this.#limits.budget / 2
    if (foreign) {
      this.source.readSync(offset, into)
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

  protected override drop(): void {
    this.#segments.clear()
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
    this.source.readSync(range.start, bytes)
    const segment = { ...range, bytes, users: 0, dropped: false }
    this.#segments.add(segment)
    return segment
  }
}
