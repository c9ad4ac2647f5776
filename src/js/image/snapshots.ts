import { callback, integer, optionsIn, signalIn, text } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Changes, Handle } from '../engine/handle.js'
import { hostSnapshotOptions, type SnapshotOptions, type VmStateSource } from '../engine/options/snapshot.js'
import type { Snapshot } from '../engine/values.js'
import { SnapshotList } from './snapshot-list.js'
import { writeVmState } from './write-vm-state.js'

/** Reports what becomes of a change: of the tables alone, or of the disk too. */
interface Reports {
  tables<T>(change: Promise<T>): Promise<T>
  disk<T>(change: Promise<T>): Promise<T>
}

/**
 * The snapshots of an image.
 *
 * A snapshot is named by its id, or else by its name, as QEMU looks them up. What changes snapshots waits for the requests
 * under way, and lets new ones wait; it is durable when it is done, and when it fails, or is aborted, the image is as
 * before. It costs time in proportion to the tables of what is allocated, not to the data.
 *
 * @example
 * ```ts
 * const image = await Qcow2.create(memory(), { size: 1024 ** 2 })
 * const { id } = await image.snapshots.create('before the upgrade')
 * await image.write(0, new Uint8Array(512).fill(1))
 * await image.snapshots.apply(id)
 * console.log(await image.read(0, 1)) // As it was.
 * await image.close()
 * ```
 */
export class Snapshots extends SnapshotList {
  readonly #handle: Handle
  readonly #reports: Reports

  /** @internal */
  constructor(handle: Handle, reports: Reports) {
    super(handle)
    this.#handle = handle
    this.#reports = reports
  }

  /**
   * Takes a snapshot of the disk as it is now.
   *
   * @param name at most 255 bytes of UTF-8; several may have the same.
   * @returns what is listed of it, with its new id.
   * @throws {@link Qcow2Error} `REFCOUNT_LIMIT` if the image's refcounts are too narrow, `NO_SNAPSHOTS`,
   * `TOO_MANY_SNAPSHOTS`, `BAD_SNAPSHOT_NAME`, and what {@link Qcow2.write} rejects with.
   */
  async create(name: string, options: SnapshotOptions = {}): Promise<Snapshot> {
    // Whatever is wrong with them is said before anything is written.
    const { vmState, vmStateSize = 0 } = optionsIn(options)
    const written = integer(vmStateSize, 'vmStateSize')
    hostSnapshotOptions(name, options, written)
    if (vmState !== undefined && written > 0) throw invalidArgument('Give either vmState or vmStateSize, not both.')
    const length = vmState === undefined ? written : await this.#reports.tables(this.#writeVmState(vmState, options))
    return Object.freeze(await this.#run('create_snapshot', [hostSnapshotOptions(name, options, length)], options))
  }

  /**
   * Makes the disk what it was when the snapshot was created, its size too. What the disk holds now is lost, unless another
   * snapshot has it. The snapshot stays.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `REFCOUNT_LIMIT`, and what {@link Qcow2.write} rejects with.
   */
  async apply(idOrName: string, options: LongOptions = {}): Promise<void> {
    await this.#run('apply_snapshot', [text(idOrName, 'A snapshot')], options)
  }

  /**
   * Deletes a snapshot: clusters that only it used are free again.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `SNAPSHOT_IN_USE` while it is open, and what {@link Qcow2.write} rejects
   * with.
   */
  async delete(idOrName: string, options: LongOptions = {}): Promise<void> {
    await this.#run('delete_snapshot', [text(idOrName, 'A snapshot')], options)
  }

  /**
   * Gives a snapshot another name.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `BAD_SNAPSHOT_NAME`, and what {@link Qcow2.write} rejects with.
   */
  async rename(idOrName: string, name: string, options: RequestOptions = {}): Promise<void> {
    await this.#run('rename_snapshot', [text(idOrName, 'A snapshot'), text(name, 'The name')], options)
  }

  #writeVmState(state: VmStateSource, options: SnapshotOptions): Promise<number> {
    const onVmState = callback(options.onVmState, 'onVmState')
    return writeVmState(this.#handle, state, 0, signalIn(options), onVmState)
  }

  #run<M extends keyof Changes>(
    method: M,
    args: Parameters<Changes[M]>,
    options: LongOptions,
  ): Promise<ReturnType<Changes[M]>> {
    const change = this.#handle.change(method, args, options)
    return method === 'apply_snapshot' ? this.#reports.disk(change) : this.#reports.tables(change)
  }
}
