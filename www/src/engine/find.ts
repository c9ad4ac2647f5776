/** Searching bytes from an offset on, to either side, and on from the other end. */

import { Matcher } from '../search/matcher'
import type { Needle } from '../search/needle'
import type { Found, OnProgress, Watch } from './protocol'
import type { ReadableBytes, Span } from './readable-bytes'
import { turns } from './turns'

/** How many bytes are read in one request. */
const CHUNK = 1n << 20n
/** What cannot be read is left out in parts of this size. */
const PART = 64 * 1024
/** Ranges of data that are closer than this are searched with what is between them. */
const NEAR = 1n << 20n
/** The length of the first step backwards. A step without data doubles the next one. */
const STEP_BACK = 64n << 20n

type Options = Watch & { backwards: boolean }

/** Searches the ranges that may have data. Unallocated ranges read as zeros and are skipped. `null` if there is no match. */
export function find(
  bytes: ReadableBytes,
  needle: Needle,
  from: bigint,
  { backwards, signal, onProgress }: Options,
): Promise<Found> {
  return new Search(bytes, new Matcher(needle), signal, onProgress).find(from, backwards)
}

class Search {
  private unreadable = 0
  private readonly turn: () => Promise<void>

  constructor(
    private readonly bytes: ReadableBytes,
    private readonly matcher: Matcher,
    private readonly signal: AbortSignal,
    private readonly onProgress: OnProgress,
  ) {
    this.turn = turns(signal)
  }

  async find(from: bigint, backwards: boolean): Promise<Found> {
    const before = { start: 0n, end: from }
    const after = { start: from, end: this.bytes.size }
    const spans = backwards ? [before, after] : [after, before]
    let done = 0n
    for (const [index, span] of spans.entries()) {
      const report = (within: bigint) =>
        this.onProgress({ done: Number(done + within), total: Number(this.bytes.size) })
      const match = await (backwards ? this.last(span, report) : this.first(span, report))
      if (match) return { match, wrapped: index > 0, unreadable: this.unreadable }
      done += span.end - span.start
    }
    return { match: null, wrapped: false, unreadable: this.unreadable }
  }

  /** The first match that begins in `span`. */
  private async first(span: Span, report: (within: bigint) => void): Promise<Found['match']> {
    for await (const range of this.searched(span)) {
      for (let start = range.start; start < range.end; start += CHUNK) {
        const match = await this.inChunk({ start, end: least(start + CHUNK, range.end) }, false)
        if (match) return match
        report(start - span.start)
      }
    }
    return null
  }

  /** The last match that begins in `span`. */
  private async last(span: Span, report: (within: bigint) => void): Promise<Found['match']> {
    let step = STEP_BACK
    for (let end = span.end; end > span.start; ) {
      const start = end - span.start > step ? end - step : span.start
      const ranges: Span[] = []
      for await (const range of this.searched({ start, end })) ranges.push(range)
      for (const range of ranges.reverse()) {
        for (let to = range.end; to > range.start; to -= CHUNK) {
          const from = to - range.start > CHUNK ? to - CHUNK : range.start
          const match = await this.inChunk({ start: from, end: to }, true)
          if (match) return match
          report(span.end - from)
        }
      }
      step = ranges.length > 0 ? STEP_BACK : step * 2n
      end = start
      report(span.end - end)
      await this.turn()
    }
    return null
  }

  /** Where matches may begin in `span`: in data, or so shortly before it that they reach into it. */
  private async *searched(span: Span): AsyncGenerator<Span> {
    if (span.end <= span.start) return
    const reach = BigInt(this.matcher.longest - 1)
    const reached = { start: span.start, end: least(span.end + reach, this.bytes.size) }
    let open: Span | null = null
    for await (const { start, end } of this.bytes.data(reached, this.signal)) {
      const widened = { start: start - span.start > reach ? start - reach : span.start, end: least(end, span.end) }
      if (open && widened.start - open.end < NEAR) open = { start: open.start, end: widened.end }
      else {
        if (open) yield open
        open = widened
      }
      await this.turn()
    }
    if (open && open.end > open.start) yield open
  }

  private async inChunk({ start, end }: Span, backwards: boolean): Promise<Found['match']> {
    await this.turn()
    const count = Number(end - start)
    const bytes = await this.read(start, count + this.matcher.longest - 1)
    const match = backwards ? this.matcher.previous(bytes, 0, count) : this.matcher.next(bytes, 0, count)
    return match && { offset: start + BigInt(match.at), length: match.length }
  }

  /** What cannot be read is zeros, and counted. */
  private async read(start: bigint, wanted: number): Promise<Uint8Array> {
    const rest = this.bytes.size - start
    const length = rest < BigInt(wanted) ? Number(rest) : wanted
    try {
      return await this.bytes.read(start, length, this.signal)
    } catch {
      this.signal.throwIfAborted()
    }
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += PART) {
      const count = Math.min(PART, length - at)
      try {
        bytes.set(await this.bytes.read(start + BigInt(at), count, this.signal), at)
      } catch {
        this.signal.throwIfAborted()
        this.unreadable += count
      }
    }
    return bytes
  }
}

const least = (one: bigint, other: bigint): bigint => (one < other ? one : other)
