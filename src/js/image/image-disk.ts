import type { ByteCount } from '../base/arguments.js'
import { byteCount, watchIn, within } from '../base/arguments.js'
import { sentence } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import { BaseDisk } from '../disk/base-disk.js'
import type { Disk } from '../disk/disk.js'
import type { Extent, MapOptions } from '../disk/extent.js'
import { rangeOf } from '../disk/ranges.js'
import type { StreamSource } from '../disk/stream.js'
import type { Handle } from '../engine/handle.js'
import type { Statistics } from '../engine/statistics.js'
import type { ImageInfo, Location } from '../engine/values.js'
import { extents } from './map.js'
import { Runs } from './runs.js'
import { VmState } from './vm-state.js'

/**
 * What an open image and its open snapshots have in common: a disk over a whole backing chain, and the image's tables.
 *
 * @example
 * ```ts
 * const disk: ImageDisk = await image.snapshots.open('before the upgrade')
 * for await (const { start, length, data } of disk.map()) console.log(start, length, data)
 * ```
 */
export abstract class ImageDisk extends BaseDisk {
  /** The machine's saved state that goes with this disk, as a disk of its own; of 0 bytes where there is none. */
  readonly vmState: Disk
  readonly #handle: Handle

  /** @internal */
  constructor(handle: Handle) {
    super()
    this.#handle = handle
    this.vmState = new VmState(handle)
  }

  /** The disk's size in bytes. It changes when the disk is resized, and when a snapshot is applied. */
  override get size(): number {
    return this.#handle.size
  }

  /**
   * True if {@link Disk.readSync} and its like work: all storages of the chain are synchronous, and the engine is not in
   * another thread.
   */
  override get sync(): boolean {
    return this.#handle.sync
  }

  /** True from the moment that `close` was called. */
  override get closed(): boolean {
    return this.#handle.closed
  }

  /**
   * Returns what the image's header and tables record, in the terms of `qemu-img info`.
   *
   * @throws {@link Qcow2Error} what reading leads to; or the signal's reason.
   */
  async info(options: RequestOptions = {}): Promise<ImageInfo> {
    const info = await this.#handle.run('info', [], options)
    const problems = info.problems.map((problem) => ({ ...problem, message: sentence(problem.message) }))
    const allocatedSize = (await this.#handle.allocatedSize()) ?? info.fileSize
    return { ...info, allocatedSize, problems }
  }

  /**
   * The runs of the disk in order: what is stored, where, and what reads as zeros; as `qemu-img map` reports them.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, `INVALID_ARGUMENT` when it is called; while it is walked, what reading tables leads to,
   * or the signal's reason.
   */
  override map(options: MapOptions = {}): AsyncIterableIterator<Extent> {
    const { offset, length } = rangeOf(options, this.size)
    return extents(() => this.#handle.walk('map', BigInt(offset), BigInt(length)), length, watchIn(options))
  }

  /**
   * The way from an offset of the disk through the tables to the host offset.
   *
   * @throws {@link Qcow2Error} `OUT_OF_BOUNDS`, and what reading tables leads to; or the signal's reason.
   */
  async locate(offset: ByteCount, options: RequestOptions = {}): Promise<Location> {
    within(byteCount(offset, 'The offset'), 1, this.size)
    return this.#handle.run('locate', [BigInt(offset)], options)
  }

  /**
   * Counts what was done through this disk, and what its storages were asked for, since it was opened.
   *
   * @throws {@link Qcow2Error} `CLOSED`.
   */
  async statistics(): Promise<Statistics> {
    return this.#handle.statistics()
  }

  /** Closes the disk, and releases what it has open; a second call waits for the first. */
  override close(): Promise<void> {
    return this.#handle.close()
  }

  /** @internal */
  override fetch(
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone = false,
  ): Uint8Array | Promise<Uint8Array> {
    return this.#handle.read('read', offset, target, signal, alone)
  }

  /** @internal */
  override runs(): StreamSource['openRun'] {
    if (!this.#handle.hasRuns) return undefined
    const runs = new Runs(this, (hostOffset, length) => this.#handle.openRun(hostOffset, length))
    return (...range) => runs.open(...range)
  }

  /** @internal */
  override fetchSync(offset: ByteCount, into: Uint8Array): void {
    this.#handle.readSync(offset, into)
  }
}
