import type { StorageOpenOptions, WritableAsyncStorage } from '../base/storage/contract.js'
import type { Claiming } from './held-lock.js'
import { Shared } from './shared.js'

/** A file that changes as a whole: after a commit, also one that is cut short by a crash, it is the new one or the old. */
export interface Store {
  /** Makes it ready, for commits too if it is `writable`, unless `signal` aborts before. Returns the length of the file. */
  open(signal: AbortSignal, writable: boolean): Promise<number>
  /** The bytes of a range within the file. */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
  /** Changes the file; if it fails, the file is what it was. */
  commit(change: Change): Promise<void>
  close(): void | Promise<void>
}

/** What becomes of a file. */
export interface Change {
  /** Up to where what is not in `chunks` stays as it is; it is zeros from there. */
  readonly keep: number
  readonly size: number
  /** The chunks that are new, by their number. The last one of the file may reach past its end. */
  readonly chunks: ReadonlyMap<number, Uint8Array<ArrayBuffer>>
}

/** The length of a chunk in bytes: that of a cluster unless one asks for another. */
export const chunkSize = 64 * 1024

/**
 * A storage that keeps its changes in memory until a flush makes them durable together. When they have become many, writing
 * waits until they are.
 */
export class Buffered implements WritableAsyncStorage {
  readonly #file: Shared<OpenFile>

  constructor(store: Store, budget: number, lock?: Claiming) {
    this.#file = new Shared(
      async (signal, writable) => new OpenFile(store, budget, await store.open(signal, writable)),
      () => store.close(),
      lock,
    )
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#file.open(options)
  }

  size(): number {
    return this.#file.current.size
  }

  async read(offset: number, length: number, { signal }: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    return this.#file.current.read(offset, length, signal)
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const file = this.#file.writable
    await file.next(() => file.write(offset, bytes))
  }

  async truncate(size: number): Promise<void> {
    const file = this.#file.writable
    await file.next(() => file.truncate(size))
  }

  async flush(): Promise<void> {
    const file = this.#file.writable
    await file.next(() => file.commit())
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** An open file: what the store has, and the changes to it. */
class OpenFile {
  size: number
  readonly #store: Store
  readonly #budget: number
  /** The chunks that differ from the store's, whole. */
  readonly #chunks = new Map<number, Uint8Array<ArrayBuffer>>()
  /** Up to where the rest is what the store has. */
  #keep: number
  /** The length of the store's file. */
  #stored: number
  /** The last of the changes, which are made one after another. */
  #last: Promise<void> = Promise.resolve()

  constructor(store: Store, budget: number, size: number) {
    this.#store = store
    this.#budget = budget
    this.size = size
    this.#keep = size
    this.#stored = size
  }

  /** Makes a change after those before it, whatever became of them. */
  next(change: () => Promise<void>): Promise<void> {
    const made = this.#last.then(change)
    this.#last = made.catch(() => {})
    return made
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const end = offset + length
    if (end > this.size) throw new RangeError(`The file ends at ${this.size}; ${end} was asked for.`)
    if (this.#chunks.size === 0 && end <= this.#keep) return this.#store.read(offset, length, signal)
    // Chunks are copied before anything is awaited, so that a commit meanwhile makes no difference.
    const bytes = new Uint8Array(length)
    const missing: [number, number][] = []
    for (const part of parts(offset, end)) {
      const chunk = this.#chunks.get(part.chunk)
      if (chunk) bytes.set(chunk.subarray(part.from, part.to), part.at - offset)
      else if (part.at < this.#keep) add(missing, part.at, Math.min(part.at + part.to - part.from, this.#keep))
    }
    const fetched = missing.map(async ([from, to]) => {
      bytes.set(await this.#store.read(from, to - from, signal), from - offset)
    })
    await Promise.all(fetched)
    return bytes
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if ((this.#chunks.size + 1) * chunkSize > this.#budget) await this.commit()
    const end = offset + bytes.length
    for (const { chunk, from, to, at } of parts(offset, end)) {
      const whole = this.#chunks.get(chunk) ?? (await this.#load(chunk, to - from === chunkSize))
      whole.set(bytes.subarray(at - offset, at - offset + to - from), from)
      this.#chunks.set(chunk, whole)
    }
    this.size = Math.max(this.size, end)
  }

  async truncate(size: number): Promise<void> {
    const last = Math.floor(size / chunkSize)
    for (const number of [...this.#chunks.keys()]) if (number * chunkSize >= size) this.#chunks.delete(number)
    const from = size - last * chunkSize
    if (size < this.size && from > 0) {
      // What is past the end must not come back when the file grows again.
      const boundary = this.#chunks.get(last) ?? (await this.#load(last, false))
      this.#chunks.set(last, boundary.fill(0, from))
    }
    this.#keep = Math.min(this.#keep, size)
    this.size = size
  }

  async commit(): Promise<void> {
    if (this.#chunks.size === 0 && this.#keep === this.#stored && this.size === this.#stored) return
    await this.#store.commit({ keep: this.#keep, size: this.size, chunks: this.#chunks })
    this.#chunks.clear()
    this.#keep = this.size
    this.#stored = this.size
  }

  /** A chunk as the store has it; where all of it is about to be written, that need not be asked for. */
  async #load(number: number, whole: boolean): Promise<Uint8Array<ArrayBuffer>> {
    const chunk = new Uint8Array(chunkSize)
    const start = number * chunkSize
    const end = Math.min(start + chunkSize, this.#keep)
    if (!whole && start < end) chunk.set(await this.#store.read(start, end - start, new AbortController().signal))
    return chunk
  }
}

interface Part {
  readonly chunk: number
  /** Where it begins and ends in the chunk. */
  readonly from: number
  readonly to: number
  /** Where it begins in the file. */
  readonly at: number
}

/** The parts of a range, by chunk. */
function* parts(offset: number, end: number): Generator<Part> {
  for (let at = offset; at < end; ) {
    const chunk = Math.floor(at / chunkSize)
    const from = at - chunk * chunkSize
    const to = Math.min(chunkSize, end - chunk * chunkSize)
    yield { chunk, from, to, at }
    at += to - from
  }
}

/** Adds a range, or lengthens the last one if it goes on there. */
function add(ranges: [number, number][], from: number, to: number): void {
  const last = ranges.at(-1)
  if (last && last[1] === from) last[1] = to
  else ranges.push([from, to])
}
