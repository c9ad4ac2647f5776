import { type ByteCount, byteCount, bytesIn, integer, oneOf, within } from '../base/arguments.js'
import { sentence } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { type StreamSource, stream } from '../disk/stream.js'
import type { Changes, Handle } from '../engine/handle.js'
import { createHere, openHere } from '../engine/open.js'
import type { CreateOptions } from '../engine/options/create.js'
import type { OpenOptions, ReadableOptions, ResizeOptions, WriteZeroesOptions } from '../engine/options/open.js'
import { type CheckOptions, type CheckReport, described, findings } from '../engine/reports.js'
import type { ImageInfo, Location } from '../engine/values.js'
import { createInWorker, openInWorker } from '../worker/open.js'
import { type CopyUpOptions, copyUp, neededBySnapshots } from './copy-up.js'
import { type DiffExtent, diffExtents } from './diff.js'
import { type KeySlots, keySlots } from './key-slots.js'
import { type Extent, extents, type MapOptions } from './map.js'
import { type Snapshots, snapshotList, snapshotMethods } from './snapshots.js'

/**
 * An open qcow2 image, or one of its snapshots, as the disk that a guest sees.
 *
 * Requests overlap: nothing need wait for anything. Sizes and offsets are in bytes. Offsets may be numbers up to
 * `Number.MAX_SAFE_INTEGER` or bigints.
 */
export class Qcow2 {
  /** True if it can be written: it was opened so, and is no snapshot. */
  readonly writable: boolean
  /**
   * True if {@link Qcow2.readSync} and its like work: all storages of the chain are synchronous, and the engine is not in
   * another thread.
   */
  readonly sync: boolean
  /** The length of the machine's saved state that goes with this view, in bytes; 0 where there is none. */
  readonly vmStateSize: number
  /** The key slots, where the image is encrypted by LUKS. */
  readonly keySlots: KeySlots
  readonly #handle: Handle
  #snapshots: Snapshots<Qcow2> | undefined

  private constructor(handle: Handle) {
    this.#handle = handle
    this.writable = handle.writable
    this.sync = handle.sync
    this.vmStateSize = handle.vmStateSize
    this.keySlots = keySlots(handle)
  }

  /**
   * Opens an image, read-only unless it is asked to be `writable`.
   *
   * The image takes over all storages that it is given: they are closed with it, or when opening fails.
   *
   * @param storage the image file: `blob(file)`, `memory(bytes)`, `nodeFile(path)`, or an object of your own.
   * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…`, `MISSING_…`, `CORRUPT_…`, `STORAGE`, `IN_USE` and others, for
   * writing also `READ_ONLY` and `MARKED_CORRUPT`, for an encrypted one `PASSPHRASE_NEEDED`, `WRONG_PASSPHRASE` and
   * `TOO_MANY_ITERATIONS`; or the signal's reason.
   */
  static async open(storage: Storage, options: OpenOptions = {}): Promise<Qcow2> {
    const { worker, ...rest } = options
    return new Qcow2(worker ? await openInWorker(storage, rest, worker) : await openHere(storage, rest))
  }

  /**
   * Creates an image, and opens it for writing.
   *
   * It takes over all storages that it is given: they are closed with the image, or when creating fails. Nothing is written
   * when the options don't fit together.
   *
   * @param storage where the image file is to be: `memory()`, `nodeFile(path, { writable: true, create: true })`, or an
   * object of your own. It must be empty, but for {@link CreateOptions.overwrite}.
   * @throws {@link Qcow2Error} `BAD_OPTIONS` for what the format doesn't have, `INVALID_ARGUMENT`, `NOT_EMPTY`, `READ_ONLY`,
   * `QUOTA`, `STORAGE`, `IN_USE`, and with a backing file what opening leads to; or the signal's reason.
   */
  static async create(storage: WritableStorage, options: CreateOptions): Promise<Qcow2> {
    const { worker, ...rest } = options
    return new Qcow2(worker ? await createInWorker(storage, rest, worker) : await createHere(storage, rest))
  }

  /** The disk's size in bytes. It changes when the disk is resized, and when a snapshot is applied. */
  get size(): number {
    return this.#handle.size
  }

  /** The image's snapshots, as they are now. */
  get snapshots(): Snapshots<Qcow2> {
    if (!this.#snapshots) {
      const open = async (idOrName: string) => new Qcow2(await this.#handle.openSnapshot(idOrName))
      const methods = snapshotMethods(this.#handle, open, (...change) => this.#change(...change))
      this.#snapshots = snapshotList(this.#handle.snapshots, methods)
    }
    return this.#snapshots
  }

  /** True from the moment that {@link Qcow2.close} was called. */
  get closed(): boolean {
    return this.#handle.closed
  }

  /**
   * What the image's header and tables say of it, in the terms of `qemu-img info`.
   *
   * @throws {@link Qcow2Error} what reading leads to; or the signal's reason.
   */
  async info(options: RequestOptions = {}): Promise<ImageInfo> {
    const info = await this.#handle.run('info', [], options)
    const problems = info.problems.map((problem) => ({ ...problem, message: sentence(problem.message) }))
    return { ...info, problems }
  }

  /**
   * Reads a part of the disk: into a new array, or into a given one, which is faster for many small reads.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes; or the array to fill, whose contents are unspecified if the read fails.
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `CORRUPT_…`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  read(offset: ByteCount, length: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>>
  read<T extends Uint8Array>(offset: ByteCount, into: T, options?: RequestOptions): Promise<T>
  async read(offset: ByteCount, target: number | Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    inside(offset, target, this.size)
    return this.#handle.read('read', BigInt(offset), target, options.signal)
  }

  /**
   * As {@link Qcow2.read}, at once; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `read` rejects with.
   */
  readSync(offset: ByteCount, length: number): Uint8Array<ArrayBuffer>
  readSync<T extends Uint8Array>(offset: ByteCount, into: T): T
  readSync(offset: ByteCount, target: number | Uint8Array): Uint8Array {
    const length = inside(offset, target, this.size)
    const into = typeof target === 'number' ? new Uint8Array(length) : target
    this.#handle.readSync(BigInt(offset), into)
    return into
  }

  /**
   * Writes to a part of the disk, whether it is allocated or not: other bytes stay as they are. Durable after a
   * {@link Qcow2.flush}.
   *
   * Requests that overlap in time and touch the same bytes may be carried out in any order. When a storage fails, so does the
   * write, and every later one with code `POISONED`: what the file holds then is known again when it is opened again; what
   * was flushed is there.
   *
   * @param offset where to begin, in bytes; `bytes` may have any length.
   * @param bytes what to write. Up to 4 MiB are copied at once; of a longer array pieces are copied while it is written, so
   * it may not be changed or transferred before the write is done.
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `READ_ONLY`, `POISONED`, `QUOTA`, `STORAGE`, `IMAGE_FULL`, `CORRUPT_…`, `CLOSED`
   * and others; or the signal's reason.
   */
  async write(offset: ByteCount, bytes: Uint8Array, options: RequestOptions = {}): Promise<void> {
    const from = source(offset, bytes, this.size)
    await this.#handle.write('write', BigInt(offset), from, options.signal)
  }

  /**
   * As {@link Qcow2.write}, at once; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `write` rejects with.
   */
  writeSync(offset: ByteCount, bytes: Uint8Array): void {
    const from = source(offset, bytes, this.size)
    this.#handle.writeSync(BigInt(offset), from)
  }

  /**
   * As {@link Qcow2.write}, in compressed clusters; one that doesn't get smaller is stored plainly. Later writes to a part of
   * such a cluster unpack and replace it.
   *
   * @param offset a multiple of the cluster size, as the length is; but the end may also be the disk's.
   * @throws {@link Qcow2Error} `UNALIGNED`, `NO_COMPRESSION`, and what `write` rejects with.
   */
  async writeCompressed(offset: ByteCount, bytes: Uint8Array, options: RequestOptions = {}): Promise<void> {
    const from = source(offset, bytes, this.size)
    await this.#handle.write('write_compressed', BigInt(offset), from, options.signal)
  }

  /**
   * Writes clusters that are compressed already, one behind the other; those of length 0 stay as they are.
   *
   * @internal
   */
  async writePacked(
    offset: number,
    lengths: Uint32Array<ArrayBuffer>,
    bytes: Uint8Array<ArrayBuffer>,
    options: RequestOptions = {},
  ): Promise<void> {
    await this.#handle.run('write_packed', [BigInt(offset), lengths, bytes], options)
  }

  /**
   * Makes a part of the disk read as zeros, and needs no room for them where the format has none but whole clusters.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes; any number.
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with.
   */
  async writeZeroes(offset: ByteCount, length: ByteCount, options: WriteZeroesOptions = {}): Promise<void> {
    const [start, count] = range(offset, length, this.size)
    await this.#handle.run('write_zeroes', [start, count, options.unmap ?? false], options)
  }

  /**
   * Says that what a part of the disk holds is no longer needed. Clusters that lie wholly in it are given back, to be used
   * again, and read as zeros, never as what a backing file has there; parts of clusters are left as they are. In an image of
   * version 2 with a backing file, and in one with a raw data file, nothing changes.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes; any number.
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with.
   */
  async discard(offset: ByteCount, length: ByteCount, options: RequestOptions = {}): Promise<void> {
    const [start, count] = range(offset, length, this.size)
    await this.#handle.run('discard', [start, count], options)
  }

  /**
   * Makes durable what was written before, as far as the storage can. When it fails, or is aborted, nothing is known of what
   * is durable; after a failure writes and flushes fail with code `POISONED`.
   *
   * @throws {@link Qcow2Error} `READ_ONLY`, `POISONED`, `QUOTA`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  async flush(options: RequestOptions = {}): Promise<void> {
    await this.#handle.run('flush', [], options)
  }

  /**
   * As {@link Qcow2.flush}, at once; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `flush` rejects with.
   */
  flushSync(): void {
    this.#handle.flushSync()
  }

  /**
   * The disk, or a part of it, as a stream. It reads at most one chunk more than was taken from it. To cancel it, or to
   * abort its signal, drops the request in flight. Errors of {@link Qcow2.read} end it.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT`.
   */
  readable(options: ReadableOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(options, this.size, async (at, count, { signal }) => {
      inside(at, count, this.size)
      // No more than one chunk is to be read ahead, and this is it.
      return (await this.#handle.read('read', BigInt(at), count, signal, true)) as Uint8Array<ArrayBuffer>
    })
  }

  /**
   * The runs of the disk in order: what is stored, where, and what reads as zeros; as `qemu-img map` tells it.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT` at once; while it is walked what reading tables
   * leads to, or the signal's reason.
   */
  map(options: MapOptions = {}): AsyncIterableIterator<Extent> {
    const { offset, length } = rangeOf(options, this.size)
    return extents(() => this.#handle.walk('map', BigInt(offset), BigInt(length)), length, options)
  }

  /**
   * What may differ between two states of the disk, in order. It is told from the tables alone: what both states have in the
   * same place is the same, and what was written is taken to differ, whatever was written. Where one state is larger, what
   * it has more differs.
   *
   * @param from a snapshot by its id or name, or `null` for the disk as it is now.
   * @param to the same. Default: `null`.
   * @throws {@link Qcow2Error} while it is walked: `NO_SUCH_SNAPSHOT`, what reading tables leads to, or the signal's reason.
   */
  diff(from: string | null, to: string | null = null, options: LongOptions = {}): AsyncIterableIterator<DiffExtent> {
    return diffExtents(() => this.#handle.walk('diff', from ?? undefined, to ?? undefined), this.size, options)
  }

  /**
   * The way from an offset of the disk through the tables to the place in the file.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, and what reading tables leads to; or the signal's reason.
   */
  async locate(offset: ByteCount, options: RequestOptions = {}): Promise<Location> {
    within(byteCount(offset, 'The offset'), 1, this.size)
    return this.#handle.run('locate', [BigInt(offset)], options)
  }

  /**
   * Reads a part of the machine's saved state, which has {@link Qcow2.vmStateSize} bytes; otherwise as `read`.
   *
   * @throws {@link Qcow2Error} as {@link Qcow2.read}.
   */
  readVmState(offset: ByteCount, length: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>>
  readVmState<T extends Uint8Array>(offset: ByteCount, into: T, options?: RequestOptions): Promise<T>
  async readVmState(offset: ByteCount, target: number | Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    inside(offset, target, this.vmStateSize)
    return this.#handle.read('read_vm_state', BigInt(offset), target, options.signal)
  }

  /**
   * The machine's saved state, or a part of it, as a stream; otherwise as `readable`.
   *
   * @throws {@link Qcow2Error} as {@link Qcow2.readable}.
   */
  readableVmState(options: ReadableOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(options, this.vmStateSize, (at, count, watch) => this.readVmState(at, count, watch))
  }

  /**
   * Gives the disk another size; a longer one reads as zeros in its new part. Snapshots keep the size that they have. Waits
   * for the requests under way, and lets new ones wait. Durable when it is done; when it fails, or is aborted, the disk has its
   * old size or the new one.
   *
   * @param size in bytes, rounded up to a multiple of 512.
   * @throws {@link Qcow2Error} `WOULD_SHRINK` unless that is asked for, `DISK_TOO_LARGE`, `RESIZE_NEEDS_VERSION_3` for an
   * image of version 2 that has snapshots, and what {@link Qcow2.write} rejects with.
   */
  async resize(size: ByteCount, options: ResizeOptions = {}): Promise<void> {
    const to = BigInt(byteCount(size, 'The size'))
    const allocate = oneOf(options.preallocation ?? 'off', ['off', 'metadata', 'full'], 'preallocation')
    await this.#change('resize', [to, options.shrink ?? false, allocate], options)
  }

  /**
   * Checks the image as `qemu-img check` does: whether its reference counts, flags and tables agree. Where it is open for
   * writing it is flushed before, and no cluster is allocated meanwhile.
   *
   * @throws {@link Qcow2Error} what reading leads to, and where it is open for writing what {@link Qcow2.flush} rejects with;
   * or the signal's reason.
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    return described(await this.#handle.run('check', [findings(options)], options))
  }

  /**
   * Makes the image independent of its backing file: copies what that one shows, wherever the image says nothing of its own,
   * and removes the name in the end. The disk reads as before; requests go on meanwhile, and what they write stays. Aborted,
   * or failed, what was copied so far stays, and the next time only the rest is copied.
   *
   * @throws {@link Qcow2Error} `BACKING_NEEDED` if there are snapshots, which may need the file, or if the image was opened
   * without it; and what {@link Qcow2.write} rejects with; or the signal's reason.
   */
  async copyUp(options: CopyUpOptions = {}): Promise<void> {
    if (this.snapshots.length > 0) throw neededBySnapshots()
    const copy = ({ start, length }: { start: number; length: number }, signal: AbortSignal) =>
      this.#handle.run('copy_up', [BigInt(start), BigInt(length)], { signal })
    await copyUp({ map: (walk) => this.map(walk), copy }, options)
    await this.#handle.run('remove_backing', [], { signal: options.signal })
  }

  /**
   * Makes the image hold nothing of its own, so that the disk shows what its backing file has, or zeros where it has none.
   * Snapshots keep what they have. A crash, a failure or an abort leaves the image as it was, or empty.
   *
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with; or the signal's reason.
   */
  async empty(options: RequestOptions = {}): Promise<void> {
    await this.#handle.run('empty', [], options)
  }

  /**
   * Closes this handle. What is in flight, and all that is asked later, fails with code `CLOSED`; await your writes before.
   * Where the image is {@link Qcow2.writable}, what was written is made durable, and reference counts are brought up to date:
   * an image that is never closed is as after a crash. The storages are closed with the last handle on the image: snapshots
   * that are open keep them. A second call waits for the first.
   *
   * @throws what {@link Qcow2.flush} rejects with, or a storage throws while it closes; the handle is closed all the same.
   */
  close(): Promise<void> {
    return this.#handle.close()
  }

  /** The same as {@link Qcow2.close}, for `await using`; where that is not known, nobody finds it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Runs what changes the snapshots too. */
  async #change<M extends keyof Changes>(method: M, args: Parameters<Changes[M]>, options: LongOptions) {
    try {
      return await this.#handle.change(method, args, options)
    } finally {
      this.#snapshots = undefined
    }
  }

  #stream(options: ReadableOptions, size: number, read: StreamSource['read']): ReadableStream<Uint8Array<ArrayBuffer>> {
    const chunkSize = integer(options.chunkSize ?? 1024 * 1024, 'chunkSize', 1)
    const { signal, onProgress } = options
    return stream({ ...rangeOf(options, size), chunkSize, signal, onProgress, read })
  }
}

/** The range that is asked for of so many bytes: all of them, unless it says otherwise. */
function rangeOf(
  { offset = 0, length }: { offset?: ByteCount | undefined; length?: ByteCount | undefined },
  size: number,
) {
  const start = byteCount(offset, 'offset')
  const count = length === undefined ? undefined : byteCount(length, 'length')
  within(start, count ?? 0, size)
  const rest = typeof start === 'bigint' ? Number(BigInt(size) - start) : size - start
  return { offset: start, length: count === undefined ? rest : Number(count) }
}

/** The length of a read, when its range is one of a disk of `size` bytes. */
function inside(offset: ByteCount, target: number | Uint8Array, size: number): number {
  byteCount(offset, 'The offset')
  const length = target instanceof Uint8Array ? target.length : integer(target, 'The length')
  within(offset, length, size)
  return length
}

/** The array that a write takes, when the range is one of a disk of `size` bytes. */
function source(offset: ByteCount, bytes: Uint8Array, size: number): Uint8Array {
  const array = bytesIn(bytes, 'The second argument')
  within(byteCount(offset, 'The offset'), array.length, size)
  return array
}

/** A range of a disk of `size` bytes, as the engine takes it. */
function range(offset: ByteCount, length: ByteCount, size: number): [bigint, bigint] {
  const [start, count] = [byteCount(offset, 'The offset'), byteCount(length, 'The length')]
  within(start, count, size)
  return [BigInt(start), BigInt(count)]
}
