import { signalIn, text } from '../base/arguments.js'
import type { RequestOptions } from '../base/progress.js'
import type { Handle } from '../engine/handle.js'
import type { Snapshot } from '../engine/values.js'
import { SnapshotDisk } from './snapshot-disk.js'

/**
 * The snapshots of an image, to look at. A snapshot is named by its id, or else by its name, as QEMU looks them up.
 *
 * @example
 * ```ts
 * for (const { id, name } of image.snapshots.list()) console.log(id, name)
 * await using before = await image.snapshots.open('before the upgrade')
 * console.log(await before.read(0, 512))
 * ```
 */
export class SnapshotList {
  readonly #handle: Handle

  /** @internal */
  constructor(handle: Handle) {
    this.#handle = handle
  }

  /** What is recorded of each snapshot now, in the order of the image's table. Nothing has to be waited for. */
  list(): readonly Snapshot[] {
    return Object.freeze(this.#handle.snapshots.map((each) => Object.freeze({ ...each })))
  }

  /**
   * Opens one read-only, side by side with the image; it has its own size, and is closed on its own.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_SNAPSHOT`, or what reading its tables leads to.
   */
  async open(idOrName: string, options: RequestOptions = {}): Promise<SnapshotDisk> {
    text(idOrName, 'A snapshot')
    signalIn(options)?.throwIfAborted()
    return new SnapshotDisk(await this.#handle.openSnapshot(idOrName))
  }
}
