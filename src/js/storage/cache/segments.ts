/** Bytes `start` to `end` of a file. */
export interface Segment extends Bytes {
  /** How many requests use it: they wait for its bytes, or copy them. */
  users: number
  /** True once it has been dropped; only the requests that use it still refer to it. */
  dropped: boolean
}

/** A range of a file. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** A range, and what is there. */
export interface Bytes extends Range {
  /** Missing while they are on their way. */
  bytes: Uint8Array | undefined
}

/** How many segments there are at most: more of them would cost more time than they save. */
const maximum = 512

/**
 * Segments of a file, none overlapping another, within a budget in bytes.
 *
 * Segments that are on their way or in use are never dropped to make room, so the budget can be exceeded by what is asked for at one time.
 */
export class Segments<S extends Segment> {
  readonly #budget: number
  /** By offset. */
  readonly #sorted: S[] = []
  /** Those that are here and not in use, the least recently used first. */
  readonly #used = new Set<S>()
  /** Those of them that a sequential reader has passed: they are unlikely to be read again, so they go first. */
  readonly #passed = new Set<S>()
  #size = 0

  constructor(budget: number) {
    this.#budget = budget
  }

  /** All bytes that are here or on their way. */
  get size(): number {
    return this.#size
  }

  /** The segments that overlap a range, in order. */
  within({ start, end }: Range): S[] {
    const found: S[] = []
    for (let index = firstAfter(this.#sorted, start); ; index += 1) {
      const segment = this.#sorted[index]
      if (!segment || segment.start >= end) return found
      found.push(segment)
    }
  }

  /** The parts of a range that no segment covers, in order. */
  gaps(range: Range): Range[] {
    const { start, end } = range
    const gaps: Range[] = []
    let from = start
    for (const segment of this.within(range)) {
      if (from < segment.start) gaps.push({ start: from, end: segment.start })
      from = segment.end
    }
    if (from < end) gaps.push({ start: from, end })
    return gaps
  }

  /** `range` made wider on both sides as far as `outer` allows and no other segment is in the way. */
  widen(range: Range, outer: Range): Range {
    const index = firstAfter(this.#sorted, range.start)
    const before = this.#sorted[index - 1]?.end ?? 0
    const after = this.#sorted[index]?.start ?? Number.POSITIVE_INFINITY
    return { start: Math.max(outer.start, before), end: Math.min(outer.end, after) }
  }

  /** Adds a segment, which must not overlap another, and drops old ones to make room. */
  add(segment: S): void {
    this.#sorted.splice(firstAfter(this.#sorted, segment.start), 0, segment)
    this.#size += segment.end - segment.start
    this.#makeRoom(segment)
  }

  /** Notes that the bytes of a segment have come. */
  arrived(segment: S, bytes: Uint8Array): void {
    segment.bytes = bytes
    this.#makeRoom(segment)
  }

  /** Notes that segments were used. */
  use(segments: readonly S[]): void {
    for (const segment of segments) {
      this.#passed.delete(segment)
      // One that is in use is none of these; it becomes the most recent when it is released.
      if (this.#used.delete(segment)) this.#used.add(segment)
    }
  }

  /** Keeps segments until `release`. */
  hold(segments: readonly S[]): void {
    for (const segment of segments) {
      segment.users += 1
      this.#used.delete(segment)
      this.#passed.delete(segment)
    }
  }

  /** Lets segments go, which have thereby been used. */
  release(segments: readonly S[]): void {
    for (const segment of segments) {
      segment.users -= 1
      this.#makeRoom(segment)
    }
  }

  /** Notes that a sequential reader is through with a range. */
  pass(range: Range): void {
    for (const segment of this.within(range)) {
      if (segment.end <= range.end && this.#used.has(segment)) this.#passed.add(segment)
    }
  }

  /** Drops a segment, if it is there. */
  delete(segment: S): void {
    if (segment.dropped) return
    segment.dropped = true
    this.#sorted.splice(firstAfter(this.#sorted, segment.start), 1)
    this.#used.delete(segment)
    this.#passed.delete(segment)
    this.#size -= segment.end - segment.start
  }

  /** Drops everything. */
  clear(): void {
    for (const segment of this.#sorted.splice(0)) segment.dropped = true
    this.#used.clear()
    this.#passed.clear()
    this.#size = 0
  }

  /** Puts a segment among those that may be dropped, if it is one, and makes room. */
  #makeRoom(segment: S): void {
    if (segment.bytes && segment.users === 0 && !segment.dropped) this.#used.add(segment)
    if (this.#fits()) return
    for (const set of [this.#passed, this.#used]) {
      for (const segment of set) {
        this.delete(segment)
        if (this.#fits()) return
      }
    }
  }

  #fits(): boolean {
    return this.#size <= this.#budget && this.#sorted.length <= maximum
  }
}

/** The index of the first of ranges, which are in order and don't overlap, that ends after `offset`. */
export function firstAfter(sorted: readonly Range[], offset: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as Range).end <= offset) low = middle + 1
    else high = middle
  }
  return low
}

/** True if segments, which overlap a range, cover it. */
export function covers(parts: readonly Range[], { start, end }: Range): boolean {
  let at = start
  for (const part of parts) {
    if (part.start > at) return false
    at = part.end
  }
  return at >= end
}

/** The bytes of a range out of the segments that cover it; copied only where there are several. */
export function join(parts: readonly Segment[], { start, end }: Range): Uint8Array {
  const [first] = parts
  if (parts.length === 1 && first?.bytes) return first.bytes.subarray(start - first.start, end - first.start)
  const joined = new Uint8Array(end - start)
  copy(parts, start, joined)
  return joined
}

/** Fills `into`, which begins at `start` of the file, from the segments that cover it. */
export function copy(parts: readonly Bytes[], start: number, into: Uint8Array): void {
  for (const part of parts) {
    const from = Math.max(start, part.start)
    const to = Math.min(start + into.length, part.end)
    if (part.bytes) into.set(part.bytes.subarray(from - part.start, to - part.start), from - start)
  }
}
