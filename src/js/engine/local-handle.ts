import type { ByteCount } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import { notInReader } from '../base/not-in-reader.js'
import type { LongOptions } from '../base/progress.js'
import type { Run } from '../base/storage/contract.js'
import { DirectReads } from './direct-reads.js'
import type { Engine } from './engine.js'
import type { Changes, Handle, Operations, Readable, Walk, Walks, Writable } from './handle.js'
import type { HostStorage } from './host-storage.js'
import { ImageCalls } from './image-calls.js'
import type { WasmImage } from './module.js'
import type { Statistics } from './statistics.js'
import type { Storages } from './storages.js'
import type { Tables } from './tables.js'
import { Tasks } from './tasks.js'
import type { Snapshot } from './values.js'

/** From this length on, in bytes, a read is made by the storage alone, where that makes the array: a copy would cost more. */
const longRead = 256 * 1024

/** What an image was opened for, and with. */
export interface HandleOptions {
  readonly writable: boolean
  /** Nothing of the image ever changes. Default: unless it is `writable`. */
  readonly fixed?: boolean
  /** Opens the image in the whole engine, for what its own module lacks. Missing where that is all there is. */
  readonly tables?: ((storages: Storages, data: HostStorage) => Tables) | undefined
}

/** The operations that change nothing; all others are refused where the image is not open for writing. */
const reading = ['info', 'locate', 'check', 'reclaimable', 'bitmap_extents', 'map', 'diff']

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
  readonly #calls: ImageCalls
  readonly #fixed: boolean
  readonly #openTables: HandleOptions['tables']
  readonly #direct: DirectReads
  /** The image in the whole engine, where this one is in the module that only reads. */
  #tables: Tables | undefined
  readonly #counters = { reads: 0, bytesRead: 0, cacheHits: 0, writes: 0, bytesWritten: 0 }
  #size: number
  #snapshots: readonly Snapshot[] | undefined
  #closing: Promise<void> | undefined

  /** Closes `storages` with the image; `data` is the one of them that holds the disk's data. */
  constructor(
    image: WasmImage,
    engine: Engine,
    storages: Storages,
    data: HostStorage,
    { writable, fixed = !writable, tables }: HandleOptions,
  ) {
    this.#image = image
    this.#engine = engine
    this.#storages = storages
    storages.add(this)
    this.#data = data
    this.#tasks = new Tasks(engine)
    this.#calls = new ImageCalls(image, this.#tasks)
    this.#direct = new DirectReads(image, data, this.#tasks, fixed)
    this.#fixed = fixed
    this.#openTables = tables
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
    this.#mayWrite()
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
    this.#mayWrite()
    this.#tasks.now(() => this.#image.write_sync(offset, bytes))
    this.#countWrite(bytes.length)
  }

  runSync<M extends 'write_zeroes' | 'discard'>(method: M, args: Parameters<Operations[M]>): void {
    this.#mayWrite()
    this.#tasks.now(() => {
      if (method === 'discard') this.#image.discard_sync(...(args as Parameters<Operations['discard']>))
      else this.#image.write_zeroes_sync(...(args as Parameters<Operations['write_zeroes']>))
    })
  }

  flushSync(): void {
    this.#mayWrite()
    this.#tasks.now(() => this.#image.flush_sync())
  }

  walk<M extends keyof Walks>(method: M, ...args: Parameters<Walks[M]>): Walk {
    if (this.#calls.has(method)) return this.#calls.walk(method, args)
    return this.#tasks.now(() => this.#wholeTables()).walk(method, args)
  }

  async openSnapshot(idOrName: string): Promise<LocalHandle> {
    const view = this.#tasks.now(() => this.#image.open_snapshot(idOrName))
    return new LocalHandle(view, this.#engine, this.#storages, this.#data, { writable: false, fixed: this.#fixed })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
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

  async #call<T>(method: string, args: readonly unknown[], options: LongOptions): Promise<T> {
    if (!reading.includes(method)) this.#mayWrite()
    if (this.#calls.has(method)) return this.#calls.run(method, args, options)
    return this.#tasks.now(() => this.#wholeTables()).run(method, args, options)
  }

  /** The image in the whole engine. A call after one that could not open it tries again. */
  #wholeTables(): Tables {
    if (this.#tables) return this.#tables
    if (!this.#openTables) throw notInReader('This operation')
    const tables = this.#openTables(this.#storages, this.#data)
    this.#tables = tables
    tables.opened.catch(() => {
      tables.free()
      if (this.#tables === tables) this.#tables = undefined
    })
    return tables
  }

  #mayWrite(): void {
    if (this.writable) return
    this.#tasks.now(() => {
      throw new Qcow2Error('READ_ONLY', 'The image is open for reading only.')
    })
  }

  async #close(): Promise<void> {
    this.#tasks.close()
    this.#tables?.close()
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
    this.#tables?.free()
    this.#calls.free()
    await this.#storages.release(this)
  }
}
