import type { Qcow2, Qcow2Error } from '../../index.js'

/** A disk, as the saving and loading of its machine sees it. */
export interface MachineDisk {
  readonly image: Qcow2
  /** What a state of the machine records of the disk. */
  readonly record: DiskRecord
  /** What identifies a disk that is not writable. */
  readonly identity: string
  /** The write cache, as the guest sees it; `undefined` where the drive has none. */
  writeCache: boolean | undefined
  /** Counts the writes of the guest: two equal values mean an unchanged disk. */
  readonly writes: number
  /** True if no request waits. */
  readonly isIdle: boolean
  /** Waits until no request is pending; rejects as soon as one of them fails. */
  quiet(): Promise<void>
  /** The machine is paused. */
  stopped(): void
  /** Runs `work` in the order of the guest's requests, which wait for it. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
  /** Takes over the size and the first sector, after the image has gone back to a snapshot. */
  refresh(): Promise<void>
  /** Reports an error that no request can carry to the guest. */
  report(error: Qcow2Error): void
}

/** What a state of the machine records of a disk. */
export interface DiskRecord {
  /** The save that the disk's next state belongs to, whose snapshot another part of the package creates or applies. */
  managed: string | undefined
}
