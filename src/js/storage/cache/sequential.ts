import type { Range } from './segments.js'

/** What a request predicts about the next ones. */
export interface Forecast {
  /** The reader that the request belongs to. */
  readonly reader: Reader
  /** What to fetch ahead of it; empty if nothing. */
  readonly ahead: Range
  /** What the reader has passed since its last request; empty if nothing. */
  readonly passed: Range
  /** A reader that is no longer tracked, because others were used more recently. */
  readonly dropped: Reader | undefined
}

/** A reader that goes through the file from front to back. */
export interface Reader {
  /** Where its requests have come to. */
  readonly next: number
}

interface Tracked extends Reader {
  /** Where its last request began. */
  last: number
  next: number
  /** Up to where bytes were fetched ahead; at least `next`. */
  ahead: number
  /** How much is fetched ahead at a time; 0 until the second request in a row. */
  window: number
}

/** How {@link SequentialReaders} finds readers and how far it fetches ahead of them; lengths in bytes. */
export interface SequentialOptions {
  /** The largest window; 0 to fetch nothing ahead. */
  readonly window: number
  /** Whether all readers together have one `window`. A window is never shorter than a request then. Default: false. */
  readonly together?: boolean
  /** The first window, unless two requests are longer. Default: 64 KiB. */
  readonly least?: number
  /**
   * How far a request may jump ahead and still belong to a reader: tables are between the data. With 0, each request of a reader
   * begins where the one before ended. Default: 128 KiB.
   */
  readonly skip?: number
  /** How many readers are tracked at one time. Default: 8. */
  readonly readers?: number
}

/**
 * Finds sequential readers among requests, and predicts what to fetch ahead of them.
 *
 * A window doubles each time that it is used up, so that a chance neighbour costs little. The next one is asked for
 * when less than a window is left, so that a reader that is slower than the storage never waits.
 */
export class SequentialReaders {
  readonly #options: Required<SequentialOptions>
  /** The most recently used last. */
  readonly #readers: Tracked[] = []

  constructor(options: SequentialOptions) {
    this.#options = { together: false, least: 64 * 1024, skip: 128 * 1024, readers: 8, ...options }
  }

  /** Records a request. */
  request({ start, end }: Range): Forecast {
    const { readers } = this.#options
    const index = this.#readers.findLastIndex((each) => this.#continues(each, start))
    const [found] = index < 0 ? [] : this.#readers.splice(index, 1)
    const reader = found ?? { last: start, next: start, ahead: start, window: 0 }
    this.#readers.push(reader)
    const dropped = this.#readers.length > readers ? this.#readers.shift() : undefined

    const passed = { start: reader.last, end: start }
    // A request that repeats the last one predicts nothing.
    const forward = found !== undefined && end > reader.next
    reader.last = start
    reader.next = Math.max(reader.next, end)
    reader.ahead = Math.max(reader.ahead, reader.next)
    const from = reader.ahead
    if (forward) this.#extend(reader, end - start)
    return { reader, passed, dropped, ahead: { start: from, end: reader.ahead } }
  }

  /** Tracks a reader no longer: it failed, or what was fetched ahead of it is gone. */
  forget(reader: Reader): void {
    const index = this.#readers.indexOf(reader as Tracked)
    if (index >= 0) this.#readers.splice(index, 1)
  }

  #continues({ last, next, ahead }: Tracked, start: number): boolean {
    const { skip } = this.#options
    return skip === 0 ? start === next : start >= last && start <= ahead + skip
  }

  #extend(reader: Tracked, length: number): void {
    if (reader.ahead - reader.next >= Math.max(reader.window, 1)) return
    reader.window = Math.min(
      Math.max(2 * reader.window, 2 * length, this.#options.least),
      this.#largest(reader, length),
    )
    reader.ahead += reader.window
  }

  #largest(reader: Tracked, length: number): number {
    const { window, together } = this.#options
    if (!together) return window
    const others = this.#readers.filter((each) => each !== reader && each.ahead > each.next).length
    // A window shorter than a request would not serve the next one.
    return Math.max(length, Math.floor(window / (1 + others)))
  }
}
