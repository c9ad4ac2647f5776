import {
  type ByteCount,
  byteCount,
  flag,
  integer,
  oneOf,
  optionsIn,
  show,
  signalIn,
  text,
  watchIn,
} from '../base/arguments.js'
import { isZero } from '../base/bytes.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { WritableStorage } from '../base/storage/contract.js'
import type { WritableDisk, WritableOptions, WriteZeroesOptions } from '../disk/disk.js'
import { bytesWithin, rangeOf, rangeWithin } from '../disk/ranges.js'
import { writeStream } from '../disk/stream.js'
import type { Handle } from '../engine/handle.js'
import { createHere, openHere } from '../engine/open.js'
import type { CreateOptions } from '../engine/options/create.js'
import { createdWithStorages } from '../engine/options/created-files.js'
import { withStorages } from '../engine/options/files.js'
import type { OpenOptions, ResizeOptions } from '../engine/options/open.js'
import { type DetectZeroes, detectZeroesIn, workerIn } from '../engine/options/open.js'
import type { VmStateSource } from '../engine/options/snapshot.js'
import { type CheckOptions, type CheckReport, described, findings } from '../engine/reports.js'
import { type Source, storageOf, type WritableSource } from '../storage/source.js'
import { createInWorker, openInWorker } from '../worker/open.js'
import { type Bitmaps, bitmaps } from './bitmaps.js'
import type { CompactOptions } from './compact.js'
import { type CopyUpOptions, copyUp, neededBySnapshots } from './copy-up.js'
import { type DiffExtent, diffExtents } from './diff.js'
import { changed, failed, type Qcow2EventMap } from './events.js'
import { ImageDisk } from './image-disk.js'
import { KeySlots } from './key-slots.js'
import { Snapshots } from './snapshots.js'
import { writeVmState } from './write-vm-state.js'

/**
 * An open qcow2 image, as the disk that a guest sees, with its whole backing chain.
 *
 * Requests overlap: none need wait for another. Sizes and offsets are in bytes. They may be numbers up to
 * `Number.MAX_SAFE_INTEGER`, or bigints.
 *
 * @example
 * ```ts
 * const storage = memory()
 * const image = await Qcow2.create(storage, { size: 1024 ** 3 })
 * await image.write(0, new TextEncoder().encode('boot'))
 * await image.snapshots.create('installed')
 * await image.close() // What was written is durable now.
 *
 * const again = await Qcow2.open(storage)
 * console.log(await again.read(0, 4), again.snapshots.list())
 * await again.close()
 * ```
 */
export class Qcow2 extends ImageDisk implements WritableDisk {
  /** True if it was opened for reading only: writes are refused with code `READ_ONLY`. */
  readonly readOnly: boolean
  /** The snapshots of the image. */
  readonly snapshots: Snapshots
  /** The key slots, where the image is encrypted by LUKS. */
  readonly keySlots: KeySlots
  /** The dirty bitmaps that the image stores. */
  readonly bitmaps: Bitmaps
  readonly #handle: Handle
  readonly #detectZeroes: DetectZeroes
  readonly #events = new EventTarget()
  #listenedTo = false
  #closing: Promise<void> | undefined

  private constructor(handle: Handle, detectZeroes: DetectZeroes) {
    super(handle)
    this.#handle = handle
    this.#detectZeroes = detectZeroes
    this.readOnly = !handle.writable
    this.snapshots = new Snapshots(handle, {
      tables: (change) => this.#failing(change),
      disk: (change) => this.#changing(change, 0, undefined),
    })
    this.keySlots = new KeySlots(handle)
    this.bitmaps = bitmaps(handle)
  }

  /**
   * Opens an image, for reading only unless it is asked to be `writable`.
   *
   * The image takes over all storages that it is given: they are closed with it, or when opening fails.
   *
   * @param source the image file: a `Blob`, bytes, a file handle, a storage such as `http(url)` or `nodeFile(path)`, or an open
   * disk that holds it.
   * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…`, `MISSING_…`, `CORRUPT_…`, `STORAGE`, `IN_USE` and others, for
   * writing also `READ_ONLY` and `MARKED_CORRUPT`, for an encrypted one `PASSPHRASE_NEEDED`, `WRONG_PASSPHRASE` and
   * `TOO_MANY_ITERATIONS`; or the signal's reason.
   */
  static async open(source: Source, options: OpenOptions = {}): Promise<Qcow2> {
    const worker = workerIn(options)
    const rest = { ...withStorages(options, storageOf), worker: undefined, signal: signalIn(options) }
    const zeros = detectZeroesIn(rest)
    const storage = storageOf(source, 'The image')
    return new Qcow2(worker ? await openInWorker(storage, rest, worker) : await openHere(storage, rest), zeros)
  }

  /**
   * Creates an image, and opens it for writing.
   *
   * It takes over all storages that it is given: they are closed with the image, or when creating fails. Nothing is written
   * when the options don't fit together.
   *
   * @param target where the image file is to be: a file handle, `memory()`, `nodeFile(path, { create: true })`,
   * or a storage of your own. It must be empty, unless {@link CreateOptions.overwrite} is given.
   * @throws {@link Qcow2Error} `BAD_OPTIONS` for what the format doesn't have, `INVALID_ARGUMENT`, `NOT_EMPTY`, `READ_ONLY`,
   * `QUOTA`, `STORAGE`, `IN_USE`, and with a backing file what opening leads to; or the signal's reason.
   */
  static async create(target: WritableSource, options: CreateOptions): Promise<Qcow2> {
    const worker = workerIn(options)
    const rest = { ...(await createdWithStorages(options, storageOf)), worker: undefined, ...watchIn(options) }
    const zeros = detectZeroesIn(rest)
    const storage = storageOf(target, 'The image') as WritableStorage
    return new Qcow2(worker ? await createInWorker(storage, rest, worker) : await createHere(storage, rest), zeros)
  }

  /**
   * Writes to a part of the disk, whether it is allocated or not: other bytes stay as they are. Durable after a
   * {@link Qcow2.flush}.
   *
   * Requests that overlap in time and touch the same bytes may be carried out in any order. When a storage fails, so does the
   * write; nothing else is lost, and the image can be used on, for example when there is room again.
   *
   * @param offset where to begin, in bytes; `bytes` may have any length.
   * @param bytes what to write. Up to 4 MiB are copied before this returns; a longer array is copied in parts while it is written, so
   * it may not be changed or transferred before the write is done.
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `READ_ONLY`, `POISONED`, `QUOTA`, `STORAGE`, `IMAGE_FULL`, `CORRUPT_…`, `CLOSED`
   * and others; or the signal's reason.
   */
  async write(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView, options: RequestOptions = {}): Promise<void> {
    const from = bytesWithin(offset, bytes, this.size)
    if (this.#isZeros(from)) return this.writeZeroes(offset, from.length, { ...options, unmap: this.#unmapsZeros })
    await this.#changing(this.#handle.write('write', BigInt(offset), from, signalIn(options)), offset, from.length)
  }

  /**
   * As {@link Qcow2.write}, without waiting; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `write` rejects with.
   */
  writeSync(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView): void {
    const from = bytesWithin(offset, bytes, this.size)
    if (this.#isZeros(from)) {
      this.writeZeroesSync(offset, from.length, { unmap: this.#unmapsZeros })
      return
    }
    this.#handle.writeSync(BigInt(offset), from)
    this.#changed(offset, from.length)
  }

  /**
   * As {@link Qcow2.write}, in compressed clusters; one that doesn't get smaller is stored plainly. Later writes to a part of
   * such a cluster decompress and replace it.
   *
   * @param offset a multiple of the cluster size, as the length is; but the end may also be the disk's.
   * @throws {@link Qcow2Error} `UNALIGNED`, `NO_COMPRESSION`, and what `write` rejects with.
   */
  async writeCompressed(
    offset: ByteCount,
    bytes: ArrayBuffer | ArrayBufferView,
    options: RequestOptions = {},
  ): Promise<void> {
    const from = bytesWithin(offset, bytes, this.size)
    const written = this.#handle.write('write_compressed', BigInt(offset), from, signalIn(options))
    await this.#changing(written, offset, from.length)
  }

  /**
   * Writes clusters in a row that are compressed already. Those of length 0 stay as they are.
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
    const [start, count] = rangeWithin(offset, length, this.size)
    const unmap = flag(optionsIn(options).unmap, 'unmap')
    const written = this.#handle.run('write_zeroes', [start, count, unmap], options)
    await this.#changing(written, offset, length)
  }

  /**
   * As {@link Qcow2.writeZeroes}, without waiting; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `writeZeroes` rejects with.
   */
  writeZeroesSync(offset: ByteCount, length: ByteCount, options: Pick<WriteZeroesOptions, 'unmap'> = {}): void {
    const [start, count] = rangeWithin(offset, length, this.size)
    this.#handle.runSync('write_zeroes', [start, count, flag(optionsIn(options).unmap, 'unmap')])
    this.#changed(offset, length)
  }

  /**
   * Declares that the contents of a part of the disk are no longer needed. Clusters that are wholly inside are freed and read as
   * zeros, never as the backing file's data. Parts of clusters stay as they are. In an image of
   * version 2 with a backing file, and in one with a raw data file, nothing changes.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes; any number.
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with.
   */
  async discard(offset: ByteCount, length: ByteCount, options: RequestOptions = {}): Promise<void> {
    const range = rangeWithin(offset, length, this.size)
    await this.#changing(this.#handle.run('discard', range, options), offset, length)
  }

  /**
   * As {@link Qcow2.discard}, without waiting; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `discard` rejects with.
   */
  discardSync(offset: ByteCount, length: ByteCount): void {
    this.#handle.runSync('discard', rangeWithin(offset, length, this.size))
    this.#changed(offset, length)
  }

  /**
   * Makes durable what was written before, as far as the storage can. When it fails, or is aborted, nothing is known of what
   * is durable. Where a storage failed to write, it can be tried again; where it failed to make durable what was written,
   * later writes and flushes fail with code `POISONED`.
   *
   * @throws {@link Qcow2Error} `READ_ONLY`, `POISONED`, `QUOTA`, `STORAGE`, `CLOSED` and others; or the signal's reason.
   */
  async flush(options: RequestOptions = {}): Promise<void> {
    await this.#failing(this.#handle.run('flush', [], options))
  }

  /**
   * As {@link Qcow2.flush}, without waiting; only where all storages of the chain are synchronous.
   *
   * @throws {@link Qcow2Error} `NOT_SYNC`, `BUSY`, and what `flush` rejects with.
   */
  flushSync(): void {
    this.#handle.flushSync()
  }

  writable(options: WritableOptions = {}): WritableStream<Uint8Array> {
    return writeStream(rangeOf(options, this.size), options, this)
  }

  /**
   * What may differ between two states of the disk, in order. Only the tables are read, not the data: a range is the same if both
   * states use the same clusters of the file for it, or if both read as zeros. Everything else counts as different. If one state
   * is larger, its additional part differs.
   *
   * @param from a snapshot by its id or name, or `null` for the disk as it is now.
   * @param to the same. Default: `null`.
   * @throws {@link Qcow2Error} while it is walked: `NO_SUCH_SNAPSHOT`, what reading tables leads to, or the signal's reason.
   */
  diff(from: string | null, to: string | null = null, options: LongOptions = {}): AsyncIterableIterator<DiffExtent> {
    const [one, other] = [stateOf(from, 'from'), stateOf(to, 'to')]
    return diffExtents(() => this.#handle.walk('diff', one, other), this.size, watchIn(options))
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
    const { preallocation = 'off', shrink } = optionsIn(options)
    const allocate = oneOf(preallocation, ['off', 'metadata', 'full'], 'preallocation')
    const resized = this.#handle.change('resize', [to, flag(shrink, 'shrink'), allocate], options)
    await this.#changing(resized, 0, undefined)
  }

  /**
   * Checks the image as `qemu-img check` does: whether its refcounts, flags and tables agree. Where it is open for
   * writing it is flushed before, and no cluster is allocated meanwhile.
   *
   * @throws {@link Qcow2Error} what reading leads to, and where it is open for writing what {@link Qcow2.flush} rejects with;
   * or the signal's reason.
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    return described(await this.#handle.run('check', [findings(options)], options))
  }

  /**
   * Makes the image independent of its backing file: copies its data to every cluster that the image does not have itself,
   * and removes the name in the end. The disk reads as before; requests go on meanwhile, and what they write stays. Aborted,
   * or failed, what was copied so far stays, and the next time only the rest is copied.
   *
   * @throws {@link Qcow2Error} `BACKING_NEEDED` if there are snapshots, which may need the file, or if the image was opened
   * without it; and what {@link Qcow2.write} rejects with; or the signal's reason.
   */
  async copyUp(options: CopyUpOptions = {}): Promise<void> {
    if (this.#handle.snapshots.length > 0) throw neededBySnapshots()
    const copy = ({ start, length }: { start: number; length: number }, signal: AbortSignal) =>
      this.#handle.run('copy_up', [BigInt(start), BigInt(length)], { signal })
    await copyUp({ map: (walk) => this.map(walk), copy }, optionsIn(options))
    await this.#handle.run('remove_backing', [], { signal: signalIn(options) })
  }

  /**
   * Makes the image hold nothing of its own, so that the disk shows what its backing file has, or zeros where it has none.
   * Snapshots keep what they have. A crash, a failure or an abort leaves the image as it was, or empty.
   *
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with; or the signal's reason.
   */
  async empty(options: RequestOptions = {}): Promise<void> {
    await this.#changing(this.#handle.run('empty', [], options), 0, undefined)
  }

  /**
   * Makes the file smaller in place: moves clusters from its end into free clusters before them, and truncates the file. The
   * disk and the snapshots stay as they are.
   *
   * Other requests go on meanwhile; each waits for at most one batch of moves, of 1 MiB. A crash, a failure or an abort
   * leaves a sound image with some clusters moved; the next call moves the rest. `onProgress` counts clusters.
   *
   * Clusters that are leaked do not move: {@link repair} frees them.
   *
   * @throws {@link Qcow2Error} what {@link Qcow2.write} rejects with; or the signal's reason.
   */
  async compact(options: CompactOptions = {}): Promise<void> {
    const { detectZeroes } = optionsIn(options)
    await this.#failing(this.#handle.run('compact', [flag(detectZeroes, 'detectZeroes')], options))
  }

  /**
   * Returns by how many bytes {@link Qcow2.compact} makes the file smaller, at most: the zeros that it would find are not
   * counted, nor what was discarded since the last flush. Reads the refcounts, also of an image that is open for reading.
   *
   * @throws {@link Qcow2Error} what reading leads to; or the signal's reason.
   */
  async reclaimable(options: RequestOptions = {}): Promise<number> {
    const [bytes = 0] = await this.#handle.run('reclaimable', [], options)
    return bytes
  }

  /**
   * Writes a machine's state past the end of the disk, as `qemu-io -c 'write -b'` does, in segments or as a stream. It stays there
   * until a snapshot takes it over ({@link SnapshotOptions.vmStateSize}), the disk is resized, or it is discarded. The format
   * does not record its length.
   *
   * @param offset where in the state to begin, in bytes.
   * @returns how many bytes were written.
   * @throws {@link Qcow2Error} `NO_SNAPSHOTS` with an external data file, and what {@link Qcow2.write} rejects with; or the
   * signal's reason.
   */
  async writeVmState(offset: ByteCount, state: VmStateSource, options: RequestOptions = {}): Promise<number> {
    const start = Number(byteCount(offset, 'The offset'))
    return await this.#failing(writeVmState(this.#handle, state, start, signalIn(optionsIn(options)), undefined))
  }

  /**
   * Reads what {@link Qcow2.writeVmState} wrote; what was never written reads as zeros. The states of snapshots are read by
   * {@link Snapshots.open}.
   *
   * @throws {@link Qcow2Error} what reading leads to; or the signal's reason.
   */
  async readVmState(offset: ByteCount, length: number, options: RequestOptions = {}): Promise<Uint8Array> {
    const [start, count] = [byteCount(offset, 'The offset'), integer(length, 'The length')]
    return await this.#handle.read('read_vm_state', BigInt(start), count, signalIn(optionsIn(options)))
  }

  /**
   * Discards what {@link Qcow2.writeVmState} wrote, and frees its clusters. Snapshots keep their states.
   *
   * @throws {@link Qcow2Error} what {@link Qcow2.writeVmState} rejects with.
   */
  async discardVmState(options: RequestOptions = {}): Promise<void> {
    await this.#failing(this.#handle.run('discard_vm_state', [], options))
  }

  /**
   * Closes this handle. What is in flight, and all that is asked later, fails with code `CLOSED`; await your writes before.
   * Where the image is open for writing, what was written is made durable, and refcounts are brought up to date: an
   * image that is never closed is as after a crash. The storages are closed with the last handle on the image: snapshots
   * that are open keep them. A second call waits for the first.
   *
   * @throws what {@link Qcow2.flush} rejects with, or a storage throws while it closes; the handle is closed all the same.
   */
  override close(): Promise<void> {
    this.#closing ??= this.#handle.close().finally(() => this.#events.dispatchEvent(new Event('close')))
    return this.#closing
  }

  /**
   * Calls a function when something happens to the image: `change` after a part of the disk was changed through this object,
   * `error` when a change has failed, `close` when it was closed.
   */
  addEventListener<K extends keyof Qcow2EventMap>(
    type: K,
    listener: (event: Qcow2EventMap[K]) => void,
    options?: AddEventListenerOptions,
  ): void {
    this.#events.addEventListener(text(type, 'type'), listenerIn(listener), listening(options))
    this.#listenedTo = true
  }

  /** Calls a function no longer. */
  removeEventListener<K extends keyof Qcow2EventMap>(type: K, listener: (event: Qcow2EventMap[K]) => void): void {
    this.#events.removeEventListener(text(type, 'type'), listenerIn(listener))
  }

  /** Calls the listeners of an event. */
  dispatchEvent(event: Event): boolean {
    if (!(event instanceof Event)) throw invalidArgument(`event must be an Event; it is ${show(event)}.`)
    return this.#events.dispatchEvent(event)
  }

  /** Reports the failure of what changes the image, but not what its disk holds. */
  async #failing<T>(change: Promise<T>): Promise<T> {
    try {
      return await change
    } catch (error) {
      if (this.#listenedTo) this.#events.dispatchEvent(failed(error))
      throw error
    }
  }

  /** Reports what becomes of a change, of the whole disk where no length is given. */
  async #changing<T>(change: Promise<T>, offset: ByteCount, length: ByteCount | undefined): Promise<T> {
    const value = await this.#failing(change)
    this.#changed(offset, length ?? this.size)
    return value
  }

  /** True if these bytes are to be written as zeros. */
  #isZeros(bytes: Uint8Array): boolean {
    return this.#detectZeroes !== 'off' && bytes.length > 0 && isZero(bytes)
  }

  get #unmapsZeros(): boolean {
    return this.#detectZeroes === 'unmap'
  }

  #changed(offset: ByteCount, length: ByteCount): void {
    if (this.#listenedTo) this.#events.dispatchEvent(changed(Number(offset), Number(length)))
  }
}

/** How an event is listened to. */
function listening(options: AddEventListenerOptions | undefined): AddEventListenerOptions {
  const { once, passive, capture } = optionsIn<AddEventListenerOptions>(options)
  const signal = signalIn(options)
  const rest = { once: flag(once, 'once'), passive: flag(passive, 'passive'), capture: flag(capture, 'capture') }
  return signal ? { ...rest, signal } : rest
}

function listenerIn(listener: unknown): (event: Event) => void {
  if (typeof listener === 'function') return listener as (event: Event) => void
  throw invalidArgument(`listener must be a function; it is ${show(listener)}.`)
}

/** A state of the disk, as the engine takes it: a snapshot, or the disk as it is now. */
function stateOf(selector: string | null | undefined, what: string): string | undefined {
  if (selector === null || selector === undefined) return undefined
  if (typeof selector === 'string') return selector
  throw invalidArgument(`${what} must be a snapshot's id or name, or null; it is ${show(selector)}.`)
}
