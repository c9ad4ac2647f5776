import { ImageDisk } from './image-disk.js'

/**
 * An open snapshot: the disk as it was when the snapshot was created, with a size and a VM state of its own.
 *
 * @example
 * ```ts
 * const before: SnapshotDisk = await image.snapshots.open('before the upgrade')
 * console.log(await before.read(0, 512))
 * await before.close()
 * ```
 */
export class SnapshotDisk extends ImageDisk {
  /** A snapshot is never written. */
  readonly readOnly = true
}
