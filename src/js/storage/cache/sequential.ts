import type { Range } from './segments.js'

/** What a request predicts about the next ones. */
export interface Forecast {
  /** What to fetch ahead; empty if nothing. */
  readonly ahead: Range
  /** What the reader has passed since its last request; empty if nothing. */
  readonly passed: Range
}

/** A reader that goes through the file from front to back. */
interface Stream {
  /** Where its last request began. */
  last: number
  /** Where its requests have come to. */
  next: number
  /** Up to where has been fetched ahead; at least `next`. */
  ahead: number
  /** How much is fetched ahead at a time; 0 until the second request in a row. */
  window: number
}

/** Sequential readers that are tracked at one time. */
const maximum = 8

/** How far a request may jump ahead and still belong to a stream: tables lie between the data. */
const skip = 128 * 1024

/** The first window. */
const least = 64 * 1024

/**
 * Finds sequential readers among requests, and predicts what to fetch ahead of them.
 *
 * A window doubles each time that it is used up, so that a chance neighbour costs little. The next one is asked for
 * when less than a window is left, so that a reader which is slower than the storage never waits.
 */
export class Streams {
  readonly #window: number
  /** The most recently used last. */
  readonly #streams: Stream[] = []

  /** `window` is the largest one, in bytes; 0 to fetch nothing ahead. */
  constructor(window: number) {
    this.#window = window
  }

  /** Takes note of a request. */
  request({ start, end }: Range): Forecast {
    const index = this.#streams.findLastIndex((each) => start >= each.last && start <= each.ahead + skip)
    const [found] = index < 0 ? [] : this.#streams.splice(index, 1)
    const stream = found ?? { last: start, next: start, ahead: start, window: 0 }
    this.#streams.push(stream)
    if (this.#streams.length > maximum) this.#streams.shift()

    const passed = { start: stream.last, end: start }
    // A request that repeats the last one predicts nothing.
    const forward = found !== undefined && end > stream.next
    stream.last = start
    stream.next = Math.max(stream.next, end)
    stream.ahead = Math.max(stream.ahead, stream.next)
    return { passed, ahead: forward ? this.#fetch(stream, end - start) : { start: stream.ahead, end: stream.ahead } }
  }

  #fetch(stream: Stream, length: number): Range {
    const start = stream.ahead
    if (start - stream.next < Math.max(stream.window, 1)) {
      stream.window = Math.min(Math.max(2 * stream.window, 2 * length, least), this.#window)
      stream.ahead = start + stream.window
    }
    return { start, end: stream.ahead }
  }
}
