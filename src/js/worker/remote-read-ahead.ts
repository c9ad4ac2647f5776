import { unlessAborted } from '../base/abort.js'
import { stillHas } from '../base/arguments.js'
import { type Bytes, copy, covers, type Range } from '../storage/cache/segments.js'
import { type Reader, SequentialReaders } from '../storage/cache/sequential.js'
import type { Facts } from './protocol.js'
import type { Reads } from './remote-reads.js'

/** A segment of the disk that is read before it is wanted. */
interface Fetch extends Bytes {
  /** Missing until they have come; for good if they can't be read. */
  bytes: Uint8Array<ArrayBuffer> | undefined
  /** Resolves when the bytes have come, or can't be read. */
  readonly ended: Promise<void>
  /** How many need it: its reader, and each read that waits for it. */
  users: number
  /** Aborts it when it is no longer needed. */
  readonly abort: AbortController
}

/**
 * The largest window, in bytes, for all readers together. Longer reads go to the worker as they are: the way there hardly matters.
 *
 * Where the storage makes the memory, each time that it is asked costs more than the way to the worker; elsewhere the memory
 * is the page's, and best stays in the processor's caches.
 */
const largest = { inWorker: 8 * 1024 * 1024, onPage: 512 * 1024 }

/**
 * Reads a disk that never changes ahead of sequential readers, so that what they want next is on the page already: the way
 * to the worker and back takes longer than 64 KiB take to be read there.
 *
 * A read that begins where no other has ended asks for nothing more, and a reader has less than two windows ahead.
 */
export class ReadAhead {
  readonly #reads: Reads
  readonly #image: Pick<Facts, 'size' | 'gives'>
  /** The longest read that is served from what was read ahead, and the largest window. */
  readonly #largest: number
  readonly #readers: SequentialReaders
  /** What is ahead of each reader, in order. */
  readonly #ahead = new Map<Reader, Fetch[]>()

  constructor(reads: Reads, image: Pick<Facts, 'size' | 'gives'>) {
    this.#reads = reads
    this.#image = image
    this.#largest = image.gives ? largest.inWorker : largest.onPage
    this.#readers = new SequentialReaders({ window: this.#largest, together: true, least: 0, skip: 0, readers: 4 })
  }

  /** Reads into an array, or into a new one of a length. Needs no promise if the bytes were read ahead. */
  read(offset: number, target: number | Uint8Array, signal: AbortSignal | undefined): Uint8Array | Promise<Uint8Array> {
    const length = typeof target === 'number' ? target : target.length
    if (length === 0 || length > this.#largest) return this.#read(offset, target, signal)
    const range = { start: offset, end: offset + length }
    const { reader, ahead, dropped } = this.#readers.request(range)
    if (dropped) this.#leave(dropped)
    const fetches = (this.#ahead.get(reader) ?? []).filter(({ start, end }) => start < range.end && offset < end)
    // Before anything ahead is asked for: no read waits for that yet.
    const outcome = covers(fetches, range)
      ? this.#serve(fetches, offset, target, signal)
      : this.#read(offset, target, signal)
    // Where one read fails, or is aborted, the next one is not likely to come.
    if (outcome instanceof Promise) outcome.catch(() => this.#leave(reader))
    this.#follow(reader, ahead)
    return outcome
  }

  /** Aborts everything that is read ahead, and drops what is here. */
  end(): void {
    for (const reader of [...this.#ahead.keys()]) this.#leave(reader)
  }

  #read(offset: number, target: number | Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#reads.read('read', BigInt(offset), target, signal)
  }

  /** Drops what a reader has passed, and asks for what is next. */
  #follow(reader: Reader, ahead: Range): void {
    const fetches = this.#ahead.get(reader) ?? []
    while (fetches[0] && fetches[0].end <= reader.next) this.#release(fetches.shift() as Fetch)
    const end = Math.min(ahead.end, this.#image.size)
    if (ahead.start >= end) return
    fetches.push(this.#fetch(reader, ahead.start, end))
    this.#ahead.set(reader, fetches)
  }

  #fetch(reader: Reader, start: number, end: number): Fetch {
    const abort = new AbortController()
    const [reads, offset, length] = [this.#reads, BigInt(start), end - start]
    const bytes = this.#image.gives
      ? reads.given(offset, length, abort.signal)
      : reads.fetch('read', offset, length, abort.signal)
    const ended = bytes.then(
      (bytes) => {
        fetch.bytes = bytes
      },
      () => this.#leave(reader),
    )
    const fetch: Fetch = { start, end, bytes: undefined, ended, users: 1, abort }
    return fetch
  }

  /** Forgets a reader. */
  #leave(reader: Reader): void {
    this.#readers.forget(reader)
    for (const fetch of this.#ahead.get(reader)?.splice(0) ?? []) this.#release(fetch)
    this.#ahead.delete(reader)
  }

  #serve(
    fetches: readonly Fetch[],
    offset: number,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Uint8Array | Promise<Uint8Array> {
    if (!areHere(fetches)) return this.#wait(fetches, offset, target, signal)
    const into = typeof target === 'number' ? new Uint8Array(target) : target
    copy(fetches, offset, into)
    return into
  }

  async #wait(
    fetches: readonly Fetch[],
    offset: number,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const length = typeof target === 'number' ? target : target.length
    for (const fetch of fetches) fetch.users += 1
    try {
      await unlessAborted(Promise.all(fetches.map(({ ended }) => ended)), signal)
      stillHas(target, length)
      // A segment may have failed because of other bytes than these.
      return await (areHere(fetches)
        ? this.#serve(fetches, offset, target, signal)
        : this.#read(offset, target, signal))
    } finally {
      for (const fetch of fetches) this.#release(fetch)
    }
  }

  #release(fetch: Fetch): void {
    fetch.users -= 1
    if (fetch.users > 0) return
    if (!fetch.bytes) fetch.abort.abort()
    else if (!this.#image.gives) this.#reads.reuse(fetch.bytes)
  }
}

function areHere(fetches: readonly Fetch[]): boolean {
  return fetches.every(({ bytes }) => bytes)
}
