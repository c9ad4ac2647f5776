import type { ByteCount } from '../base/arguments.js'

/** How much of the disk one window has, in bytes. */
const windowSize = 1024 * 1024
/** How many windows are remembered: a power of two. */
const count = 1024
/** The largest offset whose window has a number of 31 bits. */
const largest = windowSize * 2 ** 31
/** How often a window may be looked up in vain, beyond a fourth of the reads, before no more are tried. */
const patience = 256

/** Looks a host offset up in the engine. Returns -1 if the range has to be read by the engine. */
type Lookup = (offset: bigint, length: number) => number

/**
 * Host offsets of an image that never changes: a lookup in the engine takes several times as long as one here.
 *
 * It remembers windows of the disk that are contiguous in the file. An image that is too fragmented for that soon has all of its
 * lookups in the engine again.
 */
export class HostOffsets {
  readonly #lookup: Lookup
  readonly #size: number
  /** The number of the window that each slot has; -1 if it has none. */
  readonly #windows = new Int32Array(count).fill(-1)
  /** The host offset of that window. */
  readonly #offsets = new Float64Array(count)
  #patience = patience

  /** `size` is the size of the disk. */
  constructor(lookup: Lookup, size: number) {
    this.#lookup = lookup
    this.#size = size
  }

  /** Returns the host offset of a range within the disk, or -1 if the engine has to read the range. */
  find(offset: ByteCount, length: number): number {
    if (typeof offset === 'bigint' || offset >= largest || this.#patience <= 0) {
      return this.#lookup(BigInt(offset), length)
    }
    const window = Math.floor(offset / windowSize)
    const skipped = offset - window * windowSize
    const slot = window & (count - 1)
    if (skipped + length > windowSize || (this.#windows[slot] !== window && !this.#load(window, slot))) {
      return this.#lookup(BigInt(offset), length)
    }
    return (this.#offsets[slot] as number) + skipped
  }

  /** Remembers a window if it is contiguous. Returns whether it is. */
  #load(window: number, slot: number): boolean {
    const start = window * windowSize
    const found = this.#lookup(BigInt(start), Math.min(windowSize, this.#size - start))
    if (found < 0) {
      this.#patience -= 4
      return false
    }
    this.#patience = Math.min(this.#patience + 1, patience)
    this.#windows[slot] = window
    this.#offsets[slot] = found
    return true
  }
}
