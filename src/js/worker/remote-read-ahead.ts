import { unlessAborted } from '../base/abort.js'
import { stillHas } from '../base/arguments.js'
import { type Bytes, copy, covers, type Range } from '../storage/cache/segments.js'
import type { Facts } from './protocol.js'
import type { Reads } from './remote-reads.js'

/** A part of the disk that was asked for before it was wanted. */
interface Piece extends Bytes {
  /** Missing until they have come; for good if they can't be had. */
  bytes: Uint8Array<ArrayBuffer> | undefined
  /** Resolves when one of the two is known. */
  readonly settled: Promise<void>
  /** How many need it: its reader, and each read that waits for it. */
  held: number
  /** Aborts it when it is no longer needed. */
  readonly abort: AbortController
}

/** A sequence of reads through the disk from front to back: each begins where the one before ended. */
interface Reader {
  /** Where its last read ended; missing before its first. */
  next: number | undefined
  /** How much was asked for ahead the last time; 0 until the second read in a row. */
  window: number
  /** What is ahead of it: side by side, and the first one has `next`. */
  readonly pieces: Piece[]
}

/** Readers that are tracked at one time. */
const maximum = 4

/**
 * The largest window, in bytes, for all readers together. Longer reads are made by themselves: their way hardly matters.
 *
 * Where the storage makes the memory, each time that it is asked costs more than the way to the worker; elsewhere the memory
 * is the page's, and best stays in the processor's caches.
 */
const largest = { inWorker: 8 * 1024 * 1024, onPage: 512 * 1024 }

/**
 * Reads a disk that never changes ahead of sequential readers, so that what they want next is on the page already: the way
 * to the worker and back takes longer than 64 KiB take to be read there.
 *
 * A window doubles each time that it is used up, so that what is asked for in vain is in proportion to what was read; the next
 * one is asked for when less than a window is left, so that a reader has less than two of them ahead. A read that begins where
 * none has ended asks for nothing more.
 */
export class ReadAhead {
  readonly #reads: Reads
  readonly #image: Pick<Facts, 'size' | 'gives'>
  /** The most recently used last. */
  readonly #readers: Reader[] = []

  constructor(reads: Reads, image: Pick<Facts, 'size' | 'gives'>) {
    this.#reads = reads
    this.#image = image
  }

  /** Reads into an array, or into a new one of a length; what is at hand needs no promise. */
  read(offset: number, target: number | Uint8Array, signal: AbortSignal | undefined): Uint8Array | Promise<Uint8Array> {
    const length = typeof target === 'number' ? target : target.length
    if (length === 0 || length > this.#largest) return this.#read(offset, target, signal)
    const range = { start: offset, end: offset + length }
    const reader = this.#take(offset)
    const pieces = reader.pieces.filter(({ start }) => start < range.end)
    // Before anything ahead is asked for: no read waits for that yet.
    const outcome = covers(pieces, range)
      ? this.#serve(pieces, offset, target, signal)
      : this.#read(offset, target, signal)
    // Where one read fails, or is aborted, the next one is not likely to come.
    if (outcome instanceof Promise) outcome.catch(() => this.#leave(reader))
    this.#follow(reader, range)
    return outcome
  }

  /** Aborts everything that is read ahead, and drops what is here. */
  end(): void {
    for (const reader of [...this.#readers]) this.#leave(reader)
  }

  get #largest(): number {
    return this.#image.gives ? largest.inWorker : largest.onPage
  }

  #read(offset: number, target: number | Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#reads.read('read', BigInt(offset), target, signal)
  }

  /** The reader that has come to `offset`, or a new one. */
  #take(offset: number): Reader {
    const index = this.#readers.findIndex(({ next }) => next === offset)
    const [found] = index < 0 ? [] : this.#readers.splice(index, 1)
    const reader = found ?? { next: undefined, window: 0, pieces: [] }
    this.#readers.push(reader)
    const [oldest] = this.#readers
    if (oldest && this.#readers.length > maximum) this.#leave(oldest)
    return reader
  }

  /** Notes what a reader reads, and asks for what is next. */
  #follow(reader: Reader, { start, end }: Range): void {
    const forward = reader.next !== undefined
    reader.next = end
    while (reader.pieces[0] && reader.pieces[0].end <= end) this.#release(reader.pieces.shift() as Piece)
    const from = reader.pieces.at(-1)?.end ?? end
    if (!forward || from - end >= Math.max(reader.window, 1)) return
    const length = end - start
    const others = this.#readers.filter((each) => each !== reader && each.pieces.length > 0).length
    const share = Math.floor(this.#largest / (1 + others))
    // A shorter one would not serve the next read.
    reader.window = Math.max(length, Math.min(2 * Math.max(reader.window, length), share))
    const to = Math.min(from + reader.window, this.#image.size)
    if (from < to) reader.pieces.push(this.#fetch(reader, from, to))
  }

  #fetch(reader: Reader, start: number, end: number): Piece {
    const abort = new AbortController()
    const [reads, offset, length] = [this.#reads, BigInt(start), end - start]
    const bytes = this.#image.gives
      ? reads.given(offset, length, abort.signal)
      : reads.fetch('read', offset, length, abort.signal)
    const settled = bytes.then(
      (bytes) => {
        piece.bytes = bytes
      },
      () => this.#leave(reader),
    )
    const piece: Piece = { start, end, bytes: undefined, settled, held: 1, abort }
    return piece
  }

  /** Forgets a reader. */
  #leave(reader: Reader): void {
    const index = this.#readers.indexOf(reader)
    if (index >= 0) this.#readers.splice(index, 1)
    for (const piece of reader.pieces.splice(0)) this.#release(piece)
  }

  #serve(
    pieces: readonly Piece[],
    offset: number,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Uint8Array | Promise<Uint8Array> {
    if (!areHere(pieces)) return this.#wait(pieces, offset, target, signal)
    const into = typeof target === 'number' ? new Uint8Array(target) : target
    copy(pieces, offset, into)
    return into
  }

  async #wait(
    pieces: readonly Piece[],
    offset: number,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const length = typeof target === 'number' ? target : target.length
    for (const piece of pieces) piece.held += 1
    try {
      await unlessAborted(Promise.all(pieces.map(({ settled }) => settled)), signal)
      stillHas(target, length)
      // Where a piece has failed, that may be by other bytes than these.
      return await (areHere(pieces) ? this.#serve(pieces, offset, target, signal) : this.#read(offset, target, signal))
    } finally {
      for (const piece of pieces) this.#release(piece)
    }
  }

  #release(piece: Piece): void {
    piece.held -= 1
    if (piece.held > 0) return
    if (!piece.bytes) piece.abort.abort()
    else if (!this.#image.gives) this.#reads.reuse(piece.bytes)
  }
}

function areHere(pieces: readonly Piece[]): boolean {
  return pieces.every(({ bytes }) => bytes)
}
