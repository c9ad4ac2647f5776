import { type AsyncStorage, memory, type SyncStorage, type WritableAsyncStorage } from '../../../src/js/index.js'
import { Random } from './random.js'

/** The byte that every fake file has at `offset`. */
export function byteAt(offset: number): number {
  return (Math.imul(offset ^ (offset >>> 11), 0x9e3779b1) >>> 24) ^ (offset & 0xff)
}

/** The bytes of a fake file from `offset`. */
export function bytesAt(offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  for (let index = 0; index < length; index += 1) bytes[index] = byteAt(offset + index)
  return bytes
}

/** A request that reached a {@link HeldStorage}. */
export interface HeldRequest {
  readonly offset: number
  readonly length: number
  readonly signal: AbortSignal
  /** Lets it succeed, with the file's bytes or with others. */
  answer(bytes?: Uint8Array): void
  /** Lets it fail. */
  fail(error: unknown): void
}

/** A file whose requests wait until the test answers them, in whatever order. */
export class HeldStorage implements AsyncStorage {
  readonly requests: HeldRequest[] = []
  opened = 0
  closed = 0
  readonly #size: number
  #asked: (() => void) | undefined
  /** Fulfilled when the first request is there. */
  readonly asked = new Promise<void>((resolve) => {
    this.#asked = resolve
  })

  constructor(size: number) {
    this.#size = size
  }

  open(): void {
    this.opened += 1
  }

  size(): number {
    return this.#size
  }

  read(offset: number, length: number, { signal }: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const answer = (bytes = bytesAt(offset, length)) => resolve(bytes)
      this.requests.push({ offset, length, signal, answer, fail: reject })
      this.#asked?.()
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  }

  close(): void {
    this.closed += 1
  }

  /** The ranges that were asked for, as `[offset, length]`. */
  get ranges(): [number, number][] {
    return this.requests.map(({ offset, length }) => [offset, length])
  }
}

/** A file that answers by itself until `hold` is called; from then on its requests wait among those of `held`. */
export class LaterHeldStorage implements AsyncStorage {
  readonly held: HeldStorage
  readonly #file: Uint8Array
  #holding = false

  constructor(file: Uint8Array) {
    this.#file = file
    this.held = new HeldStorage(file.length)
  }

  size(): number {
    return this.#file.length
  }

  async read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    return this.#holding ? this.held.read(offset, length, options) : this.#file.subarray(offset, offset + length)
  }

  close(): void {
    this.held.close()
  }

  hold(): void {
    this.#holding = true
  }
}

/** Bytes behind an asynchronous or synchronous storage that counts what is asked of it. */
export class CountedStorage implements AsyncStorage {
  requests = 0
  bytes = 0
  closed = 0
  readonly #file: Uint8Array

  constructor(file: Uint8Array) {
    this.#file = file
  }

  size(): number {
    return this.#file.length
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.requests += 1
    this.bytes += length
    await undefined
    if (offset + length > this.#file.length) throw new RangeError('past the end')
    return this.#file.slice(offset, offset + length)
  }

  close(): void {
    this.closed += 1
  }

  /** The same file, synchronously; it counts here too. */
  sync(): SyncStorage {
    return {
      size: () => this.#file.length,
      readSync: (offset, into) => {
        this.requests += 1
        this.bytes += into.length
        if (offset + into.length > this.#file.length) throw new RangeError('past the end')
        into.set(this.#file.subarray(offset, offset + into.length))
      },
      close: () => this.close(),
    }
  }
}

/** Bytes that can only be read, synchronously. */
export function readOnly(bytes: Uint8Array): SyncStorage {
  return { size: () => bytes.length, readSync: (offset, into) => memory(bytes).readSync(offset, into) }
}

/** Lets everything run that waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The same storage, whose requests take some turns of the event loop each, and so overtake each other. */
export function delayed(storage: WritableAsyncStorage, seed = 1): WritableAsyncStorage {
  const random = new Random(seed)
  const after = async <T>(call: () => T): Promise<Awaited<T>> => {
    for (let turns = random.below(5); turns > 0; turns -= 1) await settle()
    const value = await call()
    for (let turns = random.below(5); turns > 0; turns -= 1) await settle()
    return value
  }
  return {
    open: (options) => storage.open?.(options),
    size: () => after(() => storage.size()),
    read: (offset, length, options) => after(() => storage.read(offset, length, options)),
    write: (offset, bytes, options) => after(() => storage.write(offset, bytes, options)),
    truncate: (size) => after(() => storage.truncate(size)),
    flush: () => after(() => storage.flush()),
    close: () => storage.close?.(),
  }
}
