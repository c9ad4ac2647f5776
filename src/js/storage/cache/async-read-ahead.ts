import { type Abortable, LazyAbort, whenAborted } from '../../base/abort.js'
import { stillHas } from '../../base/arguments.js'
import {
  type AsyncStorage,
  ask,
  exact,
  type GivingStorage,
  isGiving,
  type KeepingStorage,
} from '../../base/storage/contract.js'
import type { ReadAheadLimits } from './limits.js'
import { ReadAheadBase } from './read-ahead-base.js'
import { type Bytes, copy, covers, join, type Range, type Segment, Segments } from './segments.js'
import { SequentialReaders } from './sequential.js'

/** A segment that is here or on its way. */
interface Fetch extends Segment {
  /** Aborts it: done when the last request that waits for it has left. */
  readonly abort: LazyAbort
  /** The requests that wait for it. */
  readonly requests: Request[]
}

/** A request that has to wait. */
interface Request {
  readonly range: Range
  /** The segments that cover the range, in use; until the end of the turn those that were there already. */
  parts: Fetch[]
  /** How many of them have not come. */
  missing: number
  /** True when it has come to its end. */
  over: boolean
  /** Takes the range out of the parts, which have come. */
  readonly take: (parts: readonly Segment[]) => void
  readonly reject: (reason: unknown) => void
  /** Stops listening for its abortion. */
  ignore: () => void
}

/** What was asked for in one turn of the event loop. */
interface Turn {
  readonly ranges: Range[]
  /** The requests that wait for the turn's end, to share fetches: all but the first, which would only lose time. */
  readonly requests: Request[]
}

/** Read-ahead in the background. Not made of async functions: where there are many small reads, each promise counts. */
export class AsyncReadAhead extends ReadAheadBase<AsyncStorage> implements KeepingStorage {
  readonly #limits: ReadAheadLimits
  readonly #segments: Segments<Fetch>
  readonly #readers: SequentialReaders
  #size: number | undefined
  #inFlight = 0
  #turn: Turn | undefined

  constructor(storage: AsyncStorage, limits: ReadAheadLimits) {
    super(storage)
    this.#limits = limits
    this.#segments = new Segments(limits.budget)
    this.#readers = new SequentialReaders({ window: limits.window })
  }

  get giver(): GivingStorage | undefined {
    return isGiving(this.source) ? this.source : undefined
  }

  async size(): Promise<number> {
    this.#size ??= await this.source.size()
    return this.#size
  }

  read(offset: number, length: number, options: Abortable): Promise<Uint8Array> {
    const range = { start: offset, end: offset + length }
    const alone = () => this.source.read(offset, length, options)
    return this.#read(range, options, (parts) => join(parts, range), alone)
  }

  readInto(offset: number, into: Uint8Array, options: Abortable): Promise<void> {
    const { length } = into
    const fill = (parts: readonly Bytes[]) => {
      stillHas(into, length)
      copy(parts, offset, into)
    }
    const range = { start: offset, end: offset + length }
    return this.#read(range, options, fill, async () => {
      const bytes = exact(await this.source.read(offset, length, options), offset, length)
      fill([{ ...range, bytes }])
    })
  }

  readKept(offset: number, into: Uint8Array): boolean {
    const range = { start: offset, end: offset + into.length }
    const parts = this.#segments.within(range)
    if (!isHere(parts, range)) return false
    this.#use(parts, range)
    copy(parts, offset, into)
    return true
  }

  /** What `take` makes of the segments that cover a range when they have come; where none are to be kept, what `alone` does. */
  #read<T>(
    range: Range,
    options: Abortable,
    take: (parts: readonly Segment[]) => T,
    alone: () => Promise<T>,
  ): Promise<T> {
    if (this.#size === undefined) return this.size().then(() => this.#read(range, options, take, alone))
    const length = range.end - range.start
    // Past the end: the storage reports the error. Too large to be kept: nothing is gained here.
    if (length === 0 || range.end > this.#size || length > this.#limits.budget / 2) return alone()

    const parts = this.#segments.within(range)
    if (isHere(parts, range)) {
      this.#use(parts, range)
      return Promise.resolve(take(parts))
    }
    if (parts.length > 0 || this.#turn) return this.#later(range, parts, options, take)
    // If nothing of it is here, and this is the first request of the turn, the storage is asked before anything else.
    return this.#later(range, [this.#fetch(this.#segments.widen(range, this.#blocks(range)))], options, take)
  }

  /** Ends what is on its way, and forgets what is here. */
  protected override drop(): void {
    for (const fetch of this.#segments.within({ start: 0, end: Number.POSITIVE_INFINITY })) {
      if (!fetch.bytes) fetch.abort.abort()
    }
    this.#segments.clear()
    this.#size = undefined
  }

  #use(parts: readonly Fetch[], range: Range): void {
    this.#segments.use(parts)
    this.#thisTurn().ranges.push(range)
  }

  #later<T>(range: Range, parts: Fetch[], options: Abortable, make: (parts: readonly Segment[]) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#segments.hold(parts)
      const take = (all: readonly Segment[]) => resolve(make(all))
      const request: Request = { range, parts, missing: 0, over: false, take, reject, ignore: () => {} }
      request.ignore = whenAborted(options, (reason) => this.#fail(request, reason))
      if (!request.over) this.#start(request)
    })
  }

  #start(request: Request): void {
    const { range, parts } = request
    if (covers(parts, range)) {
      this.#wait(request)
    } else if (this.#turn) {
      this.#turn.requests.push(request)
    } else {
      this.#fetchAll(this.#segments.gaps(range))
      this.#cover(request)
    }
    this.#thisTurn().ranges.push(range)
  }

  #thisTurn(): Turn {
    if (!this.#turn) {
      this.#turn = { ranges: [], requests: [] }
      queueMicrotask(() => this.#endTurn())
    }
    return this.#turn
  }

  #endTurn(): void {
    const { requests = [], ranges = [] } = this.#turn ?? {}
    this.#turn = undefined
    const waiting = requests.filter(({ over }) => !over)
    this.#fetchAll(this.#merge(waiting.flatMap(({ range }) => this.#segments.gaps(range))))
    for (const request of waiting) this.#cover(request)
    for (const range of ranges) this.#forecast(range)
  }

  #fetchAll(ranges: readonly Range[]): void {
    for (const range of ranges) {
      // What was fetched for the range before may cover a part of this one.
      for (const gap of this.#segments.gaps(range)) this.#fetch(this.#segments.widen(gap, this.#blocks(gap)))
    }
  }

  #forecast(range: Range): void {
    const { ahead, passed } = this.#readers.request(range)
    if (passed.start < passed.end) this.#segments.pass(passed)
    if (ahead.start < ahead.end) this.#fetchAhead(ahead)
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

  #fetch({ start, end }: Range): Fetch {
    const fetch: Fetch = {
      start,
      end,
      bytes: undefined,
      users: 0,
      dropped: false,
      requests: [],
      abort: new LazyAbort(),
    }
    const answer = ask(this.source, start, end - start, fetch.abort)
    this.#segments.add(fetch)
    this.#inFlight += end - start
    answer.then(
      (bytes) => this.#arrived(fetch, bytes),
      (error) => this.#lost(fetch, error),
    )
    return fetch
  }

  /** Gives a request the segments that cover it by now, and lets it wait for them. */
  #cover(request: Request): void {
    const before = request.parts
    request.parts = this.#segments.within(request.range)
    this.#segments.hold(request.parts)
    this.#segments.release(before)
    this.#wait(request)
  }

  #wait(request: Request): void {
    for (const part of request.parts) {
      if (part.bytes) continue
      part.requests.push(request)
      request.missing += 1
    }
    if (request.missing === 0) this.#finish(request)
  }

  #arrived(fetch: Fetch, bytes: Uint8Array): void {
    const { start, end, requests } = fetch
    try {
      exact(bytes, start, end - start)
    } catch (error) {
      this.#lost(fetch, error)
      return
    }
    this.#inFlight -= end - start
    this.#segments.arrived(fetch, bytes)
    for (const request of requests.splice(0)) {
      request.missing -= 1
      if (request.missing === 0) this.#finish(request)
    }
  }

  #lost(fetch: Fetch, error: unknown): void {
    this.#inFlight -= fetch.end - fetch.start
    this.#segments.delete(fetch)
    // If no request waits, the error is dropped: a request that needs these bytes later asks for them again.
    for (const request of fetch.requests.splice(0)) this.#fail(request, error)
  }

  #finish(request: Request): void {
    if (request.over) return
    try {
      request.take(request.parts)
    } catch (error) {
      request.reject(error)
    }
    this.#leave(request)
  }

  #fail(request: Request, reason: unknown): void {
    if (request.over) return
    request.reject(reason)
    this.#leave(request)
  }

  #leave(request: Request): void {
    request.over = true
    request.ignore()
    this.#segments.release(request.parts)
    for (const part of request.parts) {
      if (part.users > 0 || part.bytes) continue
      part.abort.abort()
      this.#segments.delete(part)
    }
  }
}

/** True if the bytes of segments have come, and cover a range. */
function isHere(parts: readonly Segment[], range: Range): boolean {
  return covers(parts, range) && parts.every(({ bytes }) => bytes)
}
