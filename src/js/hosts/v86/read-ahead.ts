import type { Qcow2 } from '../../index.js'
import { SequentialReaders } from '../../storage/cache/sequential.js'

/** How far is read ahead, in bytes. A guest reads one file at a time. */
const limits = { window: 1024 * 1024, least: 128 * 1024, skip: 0, readers: 1 }
/** How many buffers are kept for windows: one for what the guest reads, one for what is next, one for what is on its way. */
const mostSpare = 3
/** How many reads in sequence show that a guest reads a long file. */
const established = 4

/** A range of the disk that is read ahead. */
interface Window {
  readonly start: number
  readonly end: number
  readonly buffer: Uint8Array
  /** Missing until they have come. */
  bytes?: Uint8Array
  /** Fulfilled when the bytes have come, or will not come. */
  readonly coming: Promise<void>
}

/**
 * Reads ahead of a guest that reads one range after the other, as boot loaders do, and programs that read files.
 *
 * Each answer that v86 has to wait for costs it a turn of the page's event loop, and of the worker that wakes it: for many small
 * reads that is more time than the reading itself. What was read ahead is answered without waiting.
 */
export class ReadAhead {
  readonly #image: Qcow2
  /** In the order of the disk, without gaps. What the guest has passed is dropped. */
  #windows: Window[] = []
  /** Buffers of former windows, each as long as the largest window: new memory for each would cost more than the reading. */
  readonly #spare: Uint8Array[] = []
  #readers = new SequentialReaders(limits)
  /** The last read, and how many before it were in sequence. */
  #last = { end: 0, length: 0, inSequence: 0 }

  constructor(image: Qcow2) {
    this.#image = image
  }

  /** The bytes of a range that is there, valid until the next call; `undefined` for others. */
  take(offset: number, length: number): Uint8Array | undefined {
    const bytes = this.#at(offset, length)
    if (bytes) this.#follow(offset, length)
    return bytes
  }

  /** Reads a range. The bytes are valid until the next call. */
  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    for (const { start, end, coming } of this.#windows) if (start < offset + length && offset < end) await coming
    signal?.throwIfAborted()
    const there = this.take(offset, length)
    if (there) return there
    const bytes = new Uint8Array(length)
    const reading = this.#image.readInto(offset, bytes, { signal })
    // What the guest will want next is asked for before it gets its answer, so that it is there sooner.
    this.#follow(offset, length)
    await reading
    return bytes
  }

  /** The guest changes a range: bytes that were read ahead there, or are on their way, are no longer right. */
  changing(offset: number, length: number): void {
    const changed = this.#windows.filter(({ start, end }) => start < offset + length && offset < end)
    if (changed.length === 0) return
    this.#drop(changed)
    // So that the rest of a window is read again.
    this.#readers = new SequentialReaders(limits)
  }

  /** The disk holds other bytes now. */
  clear(): void {
    this.#drop(this.#windows)
    this.#readers = new SequentialReaders(limits)
  }

  #at(offset: number, length: number): Uint8Array | undefined {
    let at = offset
    for (const { start, end, bytes } of this.#windows) {
      if (!bytes || at < start || at >= end) continue
      if (at === offset && offset + length <= end) return bytes.subarray(offset - start, offset - start + length)
      at = end
    }
    return at >= offset + length ? this.#joined(offset, length) : undefined
  }

  /** The bytes of a range across several windows. */
  #joined(offset: number, length: number): Uint8Array {
    const joined = new Uint8Array(length)
    for (const { start, end, bytes } of this.#windows) {
      const [from, to] = [Math.max(start, offset), Math.min(end, offset + length)]
      if (bytes && from < to) joined.set(bytes.subarray(from - start, to - start), from - offset)
    }
    return joined
  }

  /** Fetches what a guest will want that reads a range. */
  #follow(offset: number, length: number): void {
    const { end, length: before, inSequence } = this.#last
    this.#last = { end: offset + length, length, inSequence: offset === end ? inSequence + 1 : 0 }
    // A file in several parts goes on elsewhere: the guest asks for as much as before, and has to wait for this read alone.
    if (offset !== end && length === before && inSequence >= established)
      this.#readers.request({ start: offset - length, end: offset })
    const { ahead, passed } = this.#readers.request({ start: offset, end: offset + length })
    if (ahead.start >= ahead.end) return
    this.#drop(this.#windows.filter((window) => window.end <= passed.end))
    let start = ahead.start
    for (const window of this.#windows) if (window.start <= start) start = Math.max(start, window.end)
    this.#fetch(start, Math.min(ahead.end, this.#image.size))
  }

  #fetch(start: number, end: number): void {
    if (start >= end) return
    this.#drop(this.#windows.filter((window) => window.end > start))
    const buffer = this.#spare.pop() ?? new Uint8Array(limits.window)
    const bytes = buffer.subarray(0, end - start)
    const coming = this.#image.readInto(start, bytes).then(
      () => {
        if (this.#windows.includes(window)) window.bytes = bytes
        else this.#keep(buffer)
      },
      // The guest's own read meets the same error, and reports it.
      () => {
        this.#windows = this.#windows.filter((each) => each !== window)
        this.#keep(buffer)
      },
    )
    const window: Window = { start, end, buffer, coming }
    this.#windows.push(window)
  }

  /** Forgets windows. The buffers of those that are on their way are used again when they have come. */
  #drop(windows: readonly Window[]): void {
    this.#windows = this.#windows.filter((each) => !windows.includes(each))
    for (const { bytes, buffer } of windows) if (bytes) this.#keep(buffer)
  }

  #keep(buffer: Uint8Array): void {
    if (this.#spare.length < mostSpare) this.#spare.push(buffer)
  }
}
