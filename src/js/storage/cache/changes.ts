/** Bytes are kept in blocks of this size, aligned to it. */
const size = 16 * 1024

/** Bytes `start` to `end` of something. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** A part of the file with some written bytes. */
interface Chunk {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Which, in order; they neither overlap nor touch. */
  spans: Span[]
}

/** A part of a range: bytes that were written, or `undefined` where none were. */
export interface Part extends Span {
  readonly bytes: Uint8Array<ArrayBuffer> | undefined
}

/** Bytes that were written somewhere in a file; the others are not known here. */
export class Changes {
  readonly #chunks = new Map<number, Chunk>()
  #size = 0

  /** How many bytes are kept. */
  get size(): number {
    return this.#size
  }

  /** Takes bytes, a copy of them. */
  write(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const start = (offset + at) % size
      const end = Math.min(start + bytes.length - at, size)
      const chunk = this.#chunk((offset + at - start) / size)
      chunk.bytes.set(bytes.subarray(at, at + end - start), start)
      this.#mark(chunk, { start, end })
      at += end - start
    }
  }

  /** Forgets everything from `end` on. */
  cut(end: number): void {
    for (const [index, chunk] of this.#chunks) {
      const within = end - index * size
      if (within >= size) continue
      const spans = chunk.spans.filter(({ start }) => start < within)
      const kept = spans.map((span) => ({ start: span.start, end: Math.min(span.end, within) }))
      this.#size += total(kept) - total(chunk.spans)
      chunk.spans = kept
      if (kept.length === 0) this.#chunks.delete(index)
    }
  }

  /** The parts of a range, in order: all of it. */
  parts({ start, end }: Span): Part[] {
    const parts: Part[] = []
    const add = (part: Part) => {
      const last = parts.at(-1)
      if (part.start >= part.end) return
      // One gap, however many chunks it goes through.
      if (last && !last.bytes && !part.bytes) parts[parts.length - 1] = { ...last, end: part.end }
      else parts.push(part)
    }
    let at = start
    for (const { index, chunk } of this.#within(start, end)) {
      const base = index * size
      for (const span of chunk.spans) {
        const [from, to] = [Math.max(base + span.start, start), Math.min(base + span.end, end)]
        if (from >= to) continue
        add({ start: at, end: from, bytes: undefined })
        add({ start: from, end: to, bytes: chunk.bytes.subarray(from - base, to - base) })
        at = to
      }
    }
    add({ start: at, end, bytes: undefined })
    return parts
  }

  /** The chunks that a range touches, in order: looked up one by one, or picked out where there are fewer than that. */
  #within(start: number, end: number): { index: number; chunk: Chunk }[] {
    const [first, last] = [Math.floor(start / size), Math.ceil(end / size)]
    if (last - first > this.#chunks.size) {
      const found = [...this.#chunks].filter(([index]) => index >= first && index < last)
      return found.map(([index, chunk]) => ({ index, chunk })).sort((a, b) => a.index - b.index)
    }
    const found = []
    for (let index = first; index < last; index += 1) {
      const chunk = this.#chunks.get(index)
      if (chunk) found.push({ index, chunk })
    }
    return found
  }

  #chunk(index: number): Chunk {
    const found = this.#chunks.get(index)
    if (found) return found
    const chunk = { bytes: new Uint8Array(size), spans: [] }
    this.#chunks.set(index, chunk)
    return chunk
  }

  #mark(chunk: Chunk, { start, end }: Span): void {
    const [before, after] = [
      chunk.spans.filter((each) => each.end < start),
      chunk.spans.filter((each) => each.start > end),
    ]
    const joined = chunk.spans.filter((each) => each.end >= start && each.start <= end)
    const span = {
      start: Math.min(start, ...joined.map((each) => each.start)),
      end: Math.max(end, ...joined.map((each) => each.end)),
    }
    this.#size += span.end - span.start - total(joined)
    chunk.spans = [...before, span, ...after]
  }
}

function total(spans: readonly Span[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0)
}
