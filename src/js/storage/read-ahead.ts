import { exact, integer } from '../checks.js'
import { join, type Range, type Segment, Segments } from './segments.js'
import { Streams } from './streams.js'
import { SyncReadAhead } from './sync-read-ahead.js'
import { type AsyncStorage, isSync, type Storage, type SyncStorage } from './types.js'

/** How much {@link readAhead} fetches and keeps; all in bytes. */
export interface ReadAheadOptions {
  /** What is kept at most, fetched or on its way; one request that is larger is fetched nevertheless. Default: 16 MiB. */
  readonly budget?: number
  /** The most that is fetched ahead of a sequential reader at a time. Default: 4 MiB, and never over a quarter of `budget`. */
  readonly window?: number
  /** Requests are widened to multiples of this, since neighbours are likely to be next. Default: 16 KiB. */
  readonly block?: number
  /** Requests made in the same turn, and no further apart than this, become one. Default: 64 KiB. */
  readonly gap?: number
}

/** {@link ReadAheadOptions} with every default filled in. */
export type ReadAheadLimits = Required<ReadAheadOptions>

const KiB = 1024
const MiB = 1024 * KiB

/**
 * A storage that makes few, large requests out of many small ones: for storages where each request costs much, whatever
 * its size, such as a `Blob` or a server.
 *
 * A sequential reader finds its bytes fetched ahead, in windows that grow while it goes on; random requests fetch
 * little more than they ask for. What was fetched is kept within a budget; requests for bytes that are on their way
 * wait for these; requests that nobody waits for any more are aborted.
 *
 * @param storage what is read; it must not change meanwhile. Opened and closed with the result.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if an option is not a number of bytes.
 */
export function readAhead(storage: SyncStorage, options?: ReadAheadOptions): SyncStorage
export function readAhead(storage: AsyncStorage, options?: ReadAheadOptions): AsyncStorage
export function readAhead(storage: Storage, options: ReadAheadOptions = {}): Storage {
  const budget = integer(options.budget ?? 16 * MiB, 'budget')
  const limits: ReadAheadLimits = {
    budget,
    window: Math.min(integer(options.window ?? 4 * MiB, 'window'), Math.floor(budget / 4)),
    block: integer(options.block ?? 16 * KiB, 'block', 1),
    gap: integer(options.gap ?? 64 * KiB, 'gap'),
  }
  return isSync(storage) ? new SyncReadAhead(storage, limits) : new ReadAhead(storage, limits)
}

/** A segment that is here or on its way. */
interface Fetch extends Segment {
  /** Settles when the bytes are here, or can't be had. */
  readonly ready: Promise<void>
  /** Aborts it: done when the last one that waits for it has left. */
  readonly controller: AbortController
}

/** A request that waits for the end of the turn. */
interface Request {
  readonly range: Range
  /** The segments that cover the range, held: before the turn's end those that were there already. */
  parts: Fetch[]
}

class ReadAhead implements AsyncStorage {
  readonly #storage: AsyncStorage
  readonly #limits: ReadAheadLimits
  readonly #segments: Segments<Fetch>
  readonly #streams: Streams
  #size: number | undefined
  #inFlight = 0
  #requests: Request[] = []
  #ahead: Range[] = []
  #turn: Promise<void> | undefined

  constructor(storage: AsyncStorage, limits: ReadAheadLimits) {
    this.#storage = storage
    this.#limits = limits
    this.#segments = new Segments(limits.budget)
    this.#streams = new Streams(limits.window)
  }

  open(): void | Promise<void> {
    return this.#storage.open?.()
  }

  size(): number | Promise<number> {
    return this.#storage.size()
  }

  async read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    this.#size ??= await this.#storage.size()
    const range = { start: offset, end: offset + length }
    // Past the end: the storage knows best what to say. Too large to be kept: nothing is gained here.
    const foreign = length === 0 || range.end > this.#size || length > this.#limits.budget / 2
    if (foreign) return this.#storage.read(offset, length, options)

    const { ahead, behind } = this.#streams.request(range)
    this.#segments.pass(behind)
    if (ahead.start < ahead.end) this.#ahead.push(ahead)
    const parts = await this.#parts(range)
    try {
      const missing = parts.filter(({ bytes }) => !bytes)
      if (missing.length > 0) await unlessAborted(Promise.all(missing.map(({ ready }) => ready)), options.signal)
      return join(parts, range)
    } finally {
      this.#release(parts)
    }
  }

  async close(): Promise<void> {
    for (const fetch of this.#segments.within({ start: 0, end: Number.POSITIVE_INFINITY })) {
      if (!fetch.bytes) fetch.controller.abort()
    }
    this.#segments.clear()
    this.#size = undefined
    await this.#storage.close?.()
  }

  /** The segments that cover a range, held. */
  async #parts(range: Range): Promise<Fetch[]> {
    const complete = this.#segments.gaps(range).length === 0
    const request: Request = { range, parts: this.#segments.hold(range) }
    if (!complete) this.#requests.push(request)
    if (complete && this.#ahead.length === 0) return request.parts
    // Those who ask in the same turn of the event loop share requests.
    this.#turn ??= Promise.resolve().then(() => this.#endTurn())
    if (!complete) await this.#turn
    return request.parts
  }

  #endTurn(): void {
    const requests = this.#requests
    const ahead = this.#ahead
    this.#requests = []
    this.#ahead = []
    this.#turn = undefined
    for (const range of this.#merge(requests.flatMap(({ range }) => this.#segments.gaps(range)))) {
      // What was fetched for the range before may cover a part of this one.
      for (const gap of this.#segments.gaps(range)) this.#fetch(this.#segments.widen(gap, this.#blocks(gap)))
    }
    for (const request of requests) {
      const before = request.parts
      request.parts = this.#segments.hold(request.range)
      this.#segments.release(before)
    }
    for (const range of ahead) this.#fetchAhead(range)
  }

  /** Joins ranges with nothing but a small hole between them. */
  #merge(ranges: Range[]): Range[] {
    const merged: Range[] = []
    for (const range of ranges.sort((a, b) => a.start - b.start)) {
      const last = merged.at(-1)
      if (last && this.#joins(last, range)) {
        merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, range.end) }
      } else merged.push(range)
    }
    return merged
  }

  #joins(first: Range, second: Range): boolean {
    if (second.start <= first.end) return true
    const hole = { start: first.end, end: second.start }
    const small = second.start - first.end <= this.#limits.gap && second.end - first.start <= this.#limits.budget / 4
    return small && this.#segments.within(hole).length === 0
  }

  /** The blocks that a range touches. */
  #blocks({ start, end }: Range): Range {
    const { block } = this.#limits
    const size = this.#size ?? end
    return { start: Math.floor(start / block) * block, end: Math.min(Math.ceil(end / block) * block, size) }
  }

  #fetchAhead(range: Range): void {
    const end = Math.min(range.end, this.#size ?? range.end)
    if (range.start >= end) return
    for (const gap of this.#segments.gaps({ start: range.start, end })) {
      // What readers wait for comes before what they may want.
      if (this.#inFlight + gap.end - gap.start > this.#limits.budget / 2) return
      this.#fetch(gap)
    }
  }

  #fetch({ start, end }: Range): void {
    const length = end - start
    const controller = new AbortController()
    const answer = (async () => this.#storage.read(start, length, { signal: controller.signal }))()
    const ready = answer
      .then((bytes) => this.#segments.arrived(fetch, exact(bytes, start, length)))
      .catch((error) => {
        this.#segments.delete(fetch)
        throw error
      })
      .finally(() => {
        this.#inFlight -= length
      })
    // Nobody may be waiting: those who come to need these bytes learn of a failure when they ask for them.
    ready.catch(() => {})
    const fetch: Fetch = { start, end, bytes: undefined, held: 0, ready, controller }
    this.#inFlight += length
    this.#segments.add(fetch)
  }

  #release(parts: readonly Fetch[]): void {
    this.#segments.release(parts)
    for (const part of parts) {
      if (part.held > 0 || part.bytes) continue
      part.controller.abort()
      this.#segments.delete(part)
    }
  }
}

/** As `promise`, but rejects with the signal's reason as soon as it aborts. */
function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(() => resolve(), reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
