import { type ByteCount, bytesIn, text } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Changes, Handle } from '../engine/handle.js'
import { hostSnapshotOptions, type SnapshotOptions } from '../engine/options/snapshot.js'
import type { Snapshot } from '../engine/values.js'

/**
 * The snapshots of an image, in the order of its table, as they were when this was asked for: after a change,
 * {@link Qcow2.snapshots} has others.
 *
 * A snapshot is named by its id, or else by its name, as QEMU looks them up. What changes snapshots waits for the requests
 * under way, and lets new ones wait; it is durable when it is done, and when it fails, or is aborted, the image is as
 * before. It costs time in proportion to the tables of what is allocated, not to the data.
 */
export interface Snapshots<View> extends ReadonlyArray<Snapshot> {
  /**
   * Opens one read-only, side by side with the image; it has its own size, and is closed on its own.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, or what reading its tables leads to.
   */
  open(idOrName: string, options?: RequestOptions): Promise<View>
  /**
   * Takes a snapshot of the disk as it is now.
   *
   * @param name at most 255 bytes of UTF-8; several may have the same.
   * @returns what is listed of it, with its new id.
   * @throws {@link Qcow2Error} `REFCOUNT_LIMIT` where the image's reference counts are too narrow, `NO_SNAPSHOTS`,
   * `TOO_MANY_SNAPSHOTS`, `BAD_SNAPSHOT_NAME`, and what {@link Qcow2.write} rejects with.
   */
  create(name: string, options?: SnapshotOptions): Promise<Snapshot>
  /**
   * Makes the disk what it was when the snapshot was taken, its size too. What the disk holds now is given up, unless
   * another snapshot has it. The snapshot stays.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `REFCOUNT_LIMIT`, and what {@link Qcow2.write} rejects with.
   */
  apply(idOrName: string, options?: LongOptions): Promise<void>
  /**
   * Deletes a snapshot: room that only it took is free again.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `SNAPSHOT_IN_USE` while it is open, and what {@link Qcow2.write} rejects
   * with.
   */
  delete(idOrName: string, options?: LongOptions): Promise<void>
  /**
   * Gives a snapshot another name.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, `BAD_SNAPSHOT_NAME`, and what {@link Qcow2.write} rejects with.
   */
  rename(idOrName: string, name: string, options?: RequestOptions): Promise<void>
}

/** What of {@link Snapshots} is not a list. */
type SnapshotMethods<View> = Pick<Snapshots<View>, 'open' | 'create' | 'apply' | 'delete' | 'rename'>

/** Runs what changes the snapshots of an image. */
type Change = <M extends keyof Changes>(
  method: M,
  args: Parameters<Changes[M]>,
  options: LongOptions,
) => Promise<ReturnType<Changes[M]>>

/** The methods of an image's snapshots. */
export function snapshotMethods<View>(
  handle: Handle,
  open: (idOrName: string) => Promise<View>,
  change: Change,
): SnapshotMethods<View> {
  return {
    open: async (idOrName, { signal } = {}) => {
      if (typeof idOrName !== 'string') throw invalidArgument('A snapshot is opened by its id or name, a string.')
      signal?.throwIfAborted()
      return open(idOrName)
    },
    create: async (name, options = {}) => {
      // Whatever is wrong with them is said before anything is written.
      hostSnapshotOptions(name, options, 0)
      const write = (offset: ByteCount, bytes: Uint8Array) =>
        handle.write('write_vm_state', BigInt(offset), bytes, options.signal)
      const length = await writeVmState(options, write)
      return Object.freeze(await change('create_snapshot', [hostSnapshotOptions(name, options, length)], options))
    },
    apply: async (idOrName, options = {}) => change('apply_snapshot', [text(idOrName, 'A snapshot')], options),
    delete: async (idOrName, options = {}) => change('delete_snapshot', [text(idOrName, 'A snapshot')], options),
    rename: async (idOrName, name, options = {}) =>
      change('rename_snapshot', [text(idOrName, 'A snapshot'), text(name, 'The name')], options),
  }
}

/** A list with its methods. */
export function snapshotList<View>(snapshots: readonly Snapshot[], methods: SnapshotMethods<View>): Snapshots<View> {
  const list = snapshots.map((each) => Object.freeze(each))
  for (const [name, value] of Object.entries(methods)) Object.defineProperty(list, name, { value })
  return Object.freeze(list) as unknown as Snapshots<View>
}

/** Hands the parts of a VM state to `write`, each with its offset; returns its length. */
async function writeVmState(
  { vmState, onVmState }: SnapshotOptions,
  write: (offset: ByteCount, bytes: Uint8Array) => Promise<void>,
): Promise<number> {
  if (vmState === undefined) return 0
  let length = 0
  const take = async (part: unknown) => {
    const bytes = bytesIn(part, 'A part of vmState')
    await write(length, bytes)
    length += bytes.length
    onVmState?.(length)
  }
  if (vmState instanceof Uint8Array) {
    await take(vmState)
    return length
  }
  if (typeof vmState?.getReader !== 'function')
    throw invalidArgument('vmState must be a Uint8Array or a ReadableStream.')
  const reader = vmState.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) await take(next.value)
  } catch (error) {
    await reader.cancel(error).catch(() => {})
    throw error
  }
  return length
}
