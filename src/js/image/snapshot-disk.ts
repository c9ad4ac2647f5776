import { ImageDisk } from './image-disk.js'

/** An open snapshot: the disk as it was when the snapshot was taken, with a size and a VM state of its own. */
export class SnapshotDisk extends ImageDisk {
  /** A snapshot is never written. */
  readonly readOnly = true
}
