import type { ByteCount } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { Run } from '../base/storage/contract.js'
import { DirectReads } from './direct-reads.js'
import type { Engine } from './engine.js'
import type { Changes, Handle, Operations, Readable, Walk, Walks, Writable } from './handle.js'
import type { HostStorage } from './host-storage.js'
import { free, type WasmImage } from './module.js'
import type { Statistics } from './statistics.js'
import type { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import type { Snapshot } from './values.js'
import { type HostProgress, watched } from './watch.js'

/** From this length on, in bytes, a read is made by the storage alone, where that makes the array: a copy would cost more. */
const longRead = 256 * 1024

/** An image whose engine runs here. */
export class LocalHandle implements Handle {
  readonly writable: boolean
  readonly sync: boolean
  readonly vmStateSize: number
  readonly #image: WasmImage
  readonly #engine: Engine
  readonly #storages: Storages
  readonly #data: HostStorage
  readonly #tasks: Tasks
  readonly #fixed: boolean
  readonly #direct: DirectReads
  /** The walks that are not over: each holds the image within the engine. */
  readonly #walks = new Set<WasmWalk>()
  readonly #counters = { reads: 0, bytesRead: 0, cacheHits: 0, writes: 0, bytesWritten: 0 }
  #size: number
  #snapshots: readonly Snapshot[] | undefined
  #closing: Promise<void> | undefined

  /**
   * Closes `storages` with the image; `data` is the one of them that holds the disk's data. If the image is `fixed`, nothing of it
   * ever changes.
   */
  constructor(
    image: WasmImage,
    engine: Engine,
    storages: Storages,
    data: HostStorage,
    writable: boolean,
    fixed = !writable,
  ) {
    this.#image = image
    this.#engine = engine
    this.#storages = storages
    storages.add(this)
    this.#data = data
    this.#tasks = new Tasks(engine)
    this.#direct = new DirectReads(image, data, this.#tasks, fixed)
    this.#fixed = fixed
    this.writable = writable
    this.sync = image.sync
    this.vmStateSize = image.vm_state_size
    this.#size = image.size
  }

  get size(): number {
    return this.#size
  }

  get snapshots(): readonly Snapshot[] {
    this.#snapshots ??= this.#tasks.now<Snapshot[]>(() => this.#image.snapshots())
    return this.#snapshots
  }

  get closed(): boolean {
    return this.#tasks.closed
  }

  run<M extends keyof Operations>(
    method: M,
    args: Parameters<Operations[M]>,
    options: LongOptions = {},
  ): Promise<ReturnType<Operations[M]>> {
    return this.#call(method, args, options)
  }

  async change<M extends keyof Changes>(
    method: M,
    args: Parameters<Changes[M]>,
    options: LongOptions = {},
  ): Promise<ReturnType<Changes[M]>> {
    try {
      return await this.#call(method, args, options)
    } finally {
      this.#snapshots = undefined
      if (!this.closed) this.#size = this.#image.size
    }
  }

  read(
    what: Readable,
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone = false,
  ): Uint8Array | Promise<Uint8Array> {
    if (alone && what === 'read' && typeof target === 'number' && target >= longRead && this.gives) {
      signal?.throwIfAborted()
      return this.give(offset, target, signal)
    }
    const into = typeof target === 'number' ? new Uint8Array(target) : target
    signal?.throwIfAborted()
    const before = this.#storages.counters.reads
    const pending = this.#read(what, offset, into, signal)
    this.#countRead(into.length, before)
    return pending ? pending.then(() => into) : into
  }

  allocatedSize(): Promise<number | undefined> {
    return this.#storages.allocatedSize()
  }

  statistics(): Statistics {
    return { ...this.#counters, storage: { ...this.#storages.counters } }
  }

  /** True if the storage makes the arrays of what is read through `give`: memory for it, and small reads, gain nothing. */
  get gives(): boolean {
    return this.#direct.gives
  }

  /** Reads a part of the disk into a new array, for a caller that reads ahead itself: the storage does not read ahead of it. */
  give(offset: ByteCount, length: number, signal: AbortSignal | undefined): Uint8Array | Promise<Uint8Array> {
    const before = this.#storages.counters.reads
    const given = this.#tasks.now(() => this.#direct.give(offset, length, signal))
    if (given) this.#countRead(length, before)
    return given || this.read('read', offset, length, signal)
  }

  get hasRuns(): boolean {
    return this.gives
  }

  openRun(hostOffset: number, length: number): Run | undefined {
    const run = this.#tasks.now(() => this.#direct.openRun(hostOffset, length))
    if (!run) return undefined
    const read = (count: number) => {
      const before = this.#storages.counters.reads
      const bytes = this.#tasks.now(() => run.read(count))
      this.#countRead(count, before)
      return bytes
    }
    return { length, read, close: () => run.close() }
  }

  async write(how: Writable, offset: bigint, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    await this.#tasks.run(() => this.#image[how](offset, bytes), signal)
    this.#countWrite(bytes.length)
  }

  readSync(offset: ByteCount, into: Uint8Array): void {
    const before = this.#storages.counters.reads
    this.#tasks.now(() => {
      if (!this.sync || !this.#direct.readSync(offset, into)) this.#image.read_sync(BigInt(offset), into)
    })
    this.#countRead(into.length, before)
  }

  writeSync(offset: bigint, bytes: Uint8Array): void {
    this.#tasks.now(() => this.#image.write_sync(offset, bytes))
    this.#countWrite(bytes.length)
  }

  runSync<M extends 'write_zeroes' | 'discard'>(method: M, args: Parameters<Operations[M]>): void {
    this.#tasks.now(() => {
      if (method === 'discard') this.#image.discard_sync(...(args as Parameters<Operations['discard']>))
      else this.#image.write_zeroes_sync(...(args as Parameters<Operations['write_zeroes']>))
    })
  }

  flushSync(): void {
    this.#tasks.now(() => this.#image.flush_sync())
  }

  walk<M extends keyof Walks>(method: M, ...args: Parameters<Walks[M]>): Walk {
    const begin = this.#methods[method] as (...all: unknown[]) => WasmWalk
    const walk = this.#tasks.now(() => begin.apply(this.#image, args))
    this.#walks.add(walk)
    return {
      next: (limit, signal) => this.#tasks.run<Float64Array>(() => walk.next(limit), signal),
      free: () => {
        if (this.#walks.delete(walk)) free(walk)
      },
    }
  }

  async openSnapshot(idOrName: string): Promise<LocalHandle> {
    const view = this.#tasks.now(() => this.#image.open_snapshot(idOrName))
    return new LocalHandle(view, this.#engine, this.#storages, this.#data, false, this.#fixed)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The image's methods by their names; those without progress ignore the last parameter. */
  get #methods(): Record<string, (...args: readonly unknown[]) => unknown> {
    return this.#image as unknown as Record<string, (...args: readonly unknown[]) => unknown>
  }

  /** Reads into an array; what is at hand needs no promise. */
  #read(
    what: Readable,
    offset: ByteCount,
    into: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<unknown> | undefined {
    if (what === 'read') {
      const direct = this.#tasks.now(() => this.#direct.read(offset, into, signal))
      if (direct) return direct === true ? undefined : direct
    }
    return this.#tasks.run<undefined>(() => this.#image[what](BigInt(offset), into), signal)
  }

  /** Counts a read, before which the storages had been read `before` times. */
  #countRead(length: number, before: number): void {
    this.#counters.reads += 1
    this.#counters.bytesRead += length
    if (this.#storages.counters.reads === before) this.#counters.cacheHits += 1
  }

  #countWrite(length: number): void {
    this.#counters.writes += 1
    this.#counters.bytesWritten += length
  }

  #call<T>(method: string, args: readonly unknown[], options: LongOptions): Promise<T> {
    const start = (watch: HostProgress | undefined) => this.#methods[method]?.(...args, watch) as T | number
    return watched(options, (watch, signal) => this.#tasks.run<T>(() => start(watch), signal))
  }

  async #close(): Promise<void> {
    this.#tasks.close()
    try {
      if (this.writable) await this.#tasks.last(() => this.#image.close())
    } catch (error) {
      await this.#release().catch(() => {})
      throw error
    }
    await this.#release()
  }

  async #release(): Promise<void> {
    // A storage may close the image, while the engine is in a call of that storage: what is in use cannot be freed.
    await undefined
    for (const walk of this.#walks) free(walk)
    this.#walks.clear()
    free(this.#image)
    await this.#storages.release(this)
  }
}

/** A walk as the engine has it. */
interface WasmWalk {
  next(limit: number): Float64Array | number
  free(): void
}
