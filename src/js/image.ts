import { type Backing, type BackingResolver, resolver } from './backing.js'
import { type ByteCount, byteCount, storage as checkedStorage, integer, within } from './checks.js'
import { Engine } from './engine.js'
import { invalidArgument } from './errors.js'
import { type Extent, extents, type MapOptions } from './map.js'
import type { Storage } from './storage/types.js'
import { Storages } from './storages.js'
import { type Progress, stream } from './stream.js'
import { Tasks } from './tasks.js'
import type { ImageInfo, Location, Snapshot } from './types.js'
import { init, type WasmImage } from './wasm.js'

/** How {@link Qcow2.open} opens. */
export interface OpenOptions {
  /**
   * The backing files, if the image has any: the one storage or the list of them (the image's own first, then that
   * one's, and so on), or a function that is asked for each. `null`: open without; what they hold reads as zeros.
   * Without this option an image that needs a backing file is refused with `MISSING_BACKING_FILE`.
   */
  readonly backing?: Backing | readonly Backing[] | BackingResolver | null | undefined
  /** The image's external data file, if it has one. */
  readonly dataFile?: Storage | undefined
  /** Memory for what was read before, in bytes, for each file of the chain. */
  readonly cache?: CacheOptions | undefined
  /** Gives up opening; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Budgets of an image's caches, in bytes. */
export interface CacheOptions {
  /** For the tables that say where clusters are: 1 MiB serves 8 GiB of disk with clusters of 64 KiB. */
  readonly tables?: number | undefined
  /** For unpacked clusters of compressed images. */
  readonly clusters?: number | undefined
}

/** How a single read is watched. */
export interface ReadOptions {
  /** Drops the request, and what it has asked of the storage; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** What {@link Qcow2.readable} reads. */
export interface ReadableOptions {
  /** Where to begin, in bytes. Default: 0. */
  readonly offset?: ByteCount | undefined
  /** How many bytes to read. Default: up to the disk's end. */
  readonly length?: ByteCount | undefined
  /** The length of each chunk but the last, in bytes. Default: 1 MiB. */
  readonly chunkSize?: number | undefined
  /** Ends the stream with an error, the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called for each chunk with the bytes that are done. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** The snapshots of an image, in the order of its table. */
export interface Snapshots extends ReadonlyArray<Snapshot> {
  /**
   * Opens one read-only, side by side with the image; it has its own size, and is closed on its own.
   *
   * @param idOrName an id, or else a name, as QEMU looks them up.
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, or what reading its tables leads to.
   */
  open(idOrName: string, options?: ReadOptions): Promise<Qcow2>
}

/**
 * An open qcow2 image, or one of its snapshots, as the disk that a guest sees.
 *
 * Requests overlap: nothing need wait for anything. Sizes and offsets are in bytes. Offsets may be numbers up to
 * `Number.MAX_SAFE_INTEGER` or bigints.
 */
export class Qcow2 {
  /** The disk's size in bytes. */
  readonly size: number
  /** True if all storages of the chain are synchronous, so that {@link Qcow2.readSync} works. */
  readonly sync: boolean
  /** The image's snapshots. */
  readonly snapshots: Snapshots
  /** The length of the machine's saved state that goes with this view, in bytes; 0 where there is none. */
  readonly vmStateSize: number
  readonly #image: WasmImage
  readonly #storages: Storages
  readonly #tasks: Tasks
  readonly #engine: Engine
  #closing: Promise<void> | undefined

  private constructor(image: WasmImage, engine: Engine, storages: Storages) {
    this.#image = image
    this.#engine = engine
    this.#storages = storages
    this.#tasks = new Tasks(engine)
    this.size = image.size
    this.sync = image.sync
    this.vmStateSize = image.vm_state_size
    this.snapshots = this.#list(image.snapshots())
  }

  /**
   * Opens an image read-only.
   *
   * The image takes over all storages that it is given: they are closed with it, or when opening fails.
   *
   * @param storage the image file: `blob(file)`, `memory(bytes)`, `nodeFile(path)`, or an object of your own.
   * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…`, `MISSING_…`, `CORRUPT_…`, `STORAGE` and others; or the
   * signal's reason.
   */
  static async open(storage: Storage, options: OpenOptions = {}): Promise<Qcow2> {
    const { backing, dataFile, cache = {}, signal } = options
    const tables = cache.tables === undefined ? undefined : integer(cache.tables, 'cache.tables')
    const clusters = cache.clusters === undefined ? undefined : integer(cache.clusters, 'cache.clusters')
    const file = checkedStorage(storage, 'The image')
    const data = dataFile === undefined ? undefined : checkedStorage(dataFile, 'dataFile')
    const storages = new Storages()
    const resolve = resolver(backing, (each) => storages.open(each, engine))
    await init()
    const engine = new Engine(resolve)
    const tasks = new Tasks(engine)
    try {
      const host = await storages.open(file, engine)
      const hostData = data && (await storages.open(data, engine))
      const image = await tasks.run<WasmImage>(() => engine.wasm.open(host, hostData, tables, clusters), signal)
      return new Qcow2(image, engine, storages)
    } catch (error) {
      await storages.release().catch(() => {})
      throw error
    }
  }

  /** True from the moment that {@link Qcow2.close} was called. */
  get closed(): boolean {
    return this.#tasks.closed
  }

  /**
   * What the image's header and tables say of it, in the terms of `qemu-img info`.
   *
   * @throws {@link Qcow2Error} what reading leads to; or the signal's reason.
   */
  async info(options: ReadOptions = {}): Promise<ImageInfo> {
    return this.#tasks.run(() => this.#image.info(), options.signal)
  }

  /**
   * Reads a part of the disk: into a new array, or into a given one, which is faster for many small reads.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes; or the array to fill, whose contents are unspecified if the read fails.
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `CORRUPT_…`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  read(offset: ByteCount, length: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>>
  read<T extends Uint8Array>(offset: ByteCount, into: T, options?: ReadOptions): Promise<T>
  async read(offset: ByteCount, target: number | Uint8Array, options: ReadOptions = {}): Promise<Uint8Array> {
    const into = room(offset, target, this.size)
    const pending = this.#tasks.run<undefined>(() => this.#image.read(BigInt(offset), into), options.signal)
    // What is at hand needs no promise.
    if (pending) await pending
    return into
  }

  /**
   * As {@link Qcow2.read}, at once; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, and what `read` rejects with.
   */
  readSync(offset: ByteCount, length: number): Uint8Array<ArrayBuffer>
  readSync<T extends Uint8Array>(offset: ByteCount, into: T): T
  readSync(offset: ByteCount, target: number | Uint8Array): Uint8Array {
    const into = room(offset, target, this.size)
    this.#tasks.now(() => this.#image.read_sync(BigInt(offset), into))
    return into
  }

  /**
   * The disk, or a part of it, as a stream. It reads at most one chunk more than was taken from it. To cancel it, or to
   * abort its signal, drops the request in flight. Errors of {@link Qcow2.read} end it.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT`.
   */
  readable(options: ReadableOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { offset, length } = this.#range(options)
    const chunkSize = integer(options.chunkSize ?? 1024 * 1024, 'chunkSize', 1)
    const { signal, onProgress } = options
    return stream({
      offset,
      length,
      chunkSize,
      signal,
      onProgress,
      read: (at, into, watch) => this.read(at, into, watch),
    })
  }

  /**
   * The runs of the disk in order: what is stored, where, and what reads as zeros; as `qemu-img map` tells it.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT` at once; while it is walked what reading tables
   * leads to, or the signal's reason.
   */
  map(options: MapOptions = {}): AsyncIterableIterator<Extent> {
    const { offset, length } = this.#range(options)
    const map = this.#tasks.now(() => this.#image.map(BigInt(offset), BigInt(length)))
    return extents(map, length, this.#tasks, options)
  }

  /**
   * The way from an offset of the disk through the tables to the place in the file.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, and what reading tables leads to; or the signal's reason.
   */
  async locate(offset: ByteCount, options: ReadOptions = {}): Promise<Location> {
    within(byteCount(offset, 'The offset'), 1, this.size)
    return this.#tasks.run(() => this.#image.locate(BigInt(offset)), options.signal)
  }

  /**
   * Reads a part of the machine's saved state, which has {@link Qcow2.vmStateSize} bytes; otherwise as `read`.
   *
   * @throws {@link Qcow2Error} as {@link Qcow2.read}.
   */
  readVmState(offset: ByteCount, length: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>>
  readVmState<T extends Uint8Array>(offset: ByteCount, into: T, options?: ReadOptions): Promise<T>
  async readVmState(offset: ByteCount, target: number | Uint8Array, options: ReadOptions = {}): Promise<Uint8Array> {
    const into = room(offset, target, this.vmStateSize)
    await this.#tasks.run(() => this.#image.read_vm_state(BigInt(offset), into), options.signal)
    return into
  }

  /**
   * Closes this handle. What is in flight, and all that is asked later, fails with code `CLOSED`. The storages are closed
   * with the last handle on the image: snapshots that are open keep them. A second call waits for the first.
   *
   * @throws what a storage throws while it closes.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The same as {@link Qcow2.close}, for `await using`; where that is not known, nobody finds it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#tasks.close()
    this.#image.free()
    await this.#storages.release()
  }

  #list(snapshots: Snapshot[]): Snapshots {
    const open = async (idOrName: string, options: ReadOptions = {}) => {
      if (typeof idOrName !== 'string') throw invalidArgument('A snapshot is opened by its id or name, a string.')
      options.signal?.throwIfAborted()
      const view = this.#tasks.now(() => this.#image.open_snapshot(idOrName))
      return new Qcow2(view, this.#engine, this.#storages.share())
    }
    const list = snapshots.map((each) => Object.freeze(each))
    return Object.freeze(Object.defineProperty(list, 'open', { value: open })) as unknown as Snapshots
  }

  #range({ offset = 0, length }: { offset?: ByteCount | undefined; length?: ByteCount | undefined }) {
    const start = byteCount(offset, 'offset')
    const count = length === undefined ? undefined : byteCount(length, 'length')
    within(start, count ?? 0, this.size)
    const rest = typeof start === 'bigint' ? Number(BigInt(this.size) - start) : this.size - start
    return { offset: start, length: count === undefined ? rest : Number(count) }
  }
}

/** The array that a read fills, when the range is one of a disk of `size` bytes. */
function room(offset: ByteCount, target: number | Uint8Array, size: number): Uint8Array {
  byteCount(offset, 'The offset')
  const given = target instanceof Uint8Array
  const length = given ? target.length : integer(target, 'The length')
  within(offset, length, size)
  return given ? target : new Uint8Array(length)
}
