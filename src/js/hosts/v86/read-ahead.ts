import type { Qcow2 } from '../../index.js'
import { SequentialReaders } from '../../storage/cache/sequential.js'

/** How far is read ahead, in bytes. A guest reads one file at a time. */
const limits = { window: 1024 * 1024, least: 128 * 1024, skip: 0, readers: 1 }

/** A range of the disk that is read ahead. */
interface Window {
  readonly start: number
  readonly end: number
  /** Missing until they have come. */
  bytes?: Uint8Array
  /** Fulfilled when the bytes have come, or will not come. */
  readonly coming: Promise<void>
}

/**
 * Reads ahead of a guest that reads one range after the other, as boot loaders do, and programs that read files.
 *
 * Each answer that v86 has to wait for costs it a turn of the page's event loop, and of the worker that wakes it: for many small
 * reads that is more time than the reading itself. What was read ahead is answered at once.
 */
export class ReadAhead {
  readonly #image: Qcow2
  /** In the order of the disk, without gaps. What the guest has passed is dropped. */
  #windows: Window[] = []
  #readers = new SequentialReaders(limits)

  constructor(image: Qcow2) {
    this.#image = image
  }

  /** True if a range is there. */
  has(offset: number, length: number): boolean {
    let at = offset
    for (const { start, end, bytes } of this.#windows) if (bytes && start <= at) at = Math.max(at, end)
    return at >= offset + length
  }

  /** Fills `into` with the bytes at `offset`, which are there. */
  take(offset: number, into: Uint8Array): void {
    let filled = 0
    for (const { start, end, bytes } of this.#windows) {
      const at = offset + filled
      if (!bytes || at < start || at >= end) continue
      const part = bytes.subarray(at - start, at - start + into.length - filled)
      into.set(part, filled)
      filled += part.length
    }
    this.#follow(offset, into.length)
  }

  /** Fills `into` with the bytes at `offset`. */
  async read(offset: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    for (const { start, end, coming } of this.#windows) if (start < offset + into.length && offset < end) await coming
    signal?.throwIfAborted()
    if (this.has(offset, into.length)) return this.take(offset, into)
    await this.#image.readInto(offset, into, { signal })
    this.#follow(offset, into.length)
  }

  /** The guest changes a range: bytes that were read ahead there, or are on their way, are no longer right. */
  changing(offset: number, length: number): void {
    const kept = this.#windows.filter(({ start, end }) => end <= offset || offset + length <= start)
    if (kept.length === this.#windows.length) return
    this.#windows = kept
    // So that the rest of a window is read again.
    this.#readers = new SequentialReaders(limits)
  }

  /** The disk holds other bytes now. */
  clear(): void {
    this.#windows = []
    this.#readers = new SequentialReaders(limits)
  }

  /** Fetches what a guest will want that has read a range. */
  #follow(offset: number, length: number): void {
    const { ahead, passed } = this.#readers.request({ start: offset, end: offset + length })
    if (ahead.start >= ahead.end) return
    this.#windows = this.#windows.filter((window) => window.end > passed.end)
    let start = ahead.start
    for (const window of this.#windows) if (window.start <= start) start = Math.max(start, window.end)
    this.#fetch(start, Math.min(ahead.end, this.#image.size))
  }

  #fetch(start: number, end: number): void {
    if (start >= end) return
    const coming = this.#image.read(start, end - start).then(
      (bytes) => {
        window.bytes = bytes
      },
      // The guest's own read meets the same error, and reports it.
      () => {
        this.#windows = this.#windows.filter((each) => each !== window)
      },
    )
    const window: Window = { start, end, coming }
    this.#windows = [...this.#windows.filter((each) => each.end <= start), window]
  }
}
