import type { ByteCount } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { Run } from '../base/storage/contract.js'
import type { HostAmendOptions } from './options/amend.js'
import type { HostKeyOptions } from './options/encryption.js'
import type { HostSnapshotOptions } from './options/snapshot.js'
import type { CheckReport, RepairReport } from './reports.js'
import type { Statistics } from './statistics.js'
import type { ImageInfo, Inspection, Location, Snapshot } from './values.js'

/** The operations on a file that is not open as an image, with the parameters that follow the file. */
export interface FileOperations {
  inspect(): Inspection
  check(maxFindings: number): CheckReport
  repair(all: boolean, acceptLoss: boolean, maxFindings: number): RepairReport
  amend(options: HostAmendOptions): void
}

/** What is asked of an open image: by its name in the engine, with what it takes there and what it comes to. */
export interface Operations {
  info(): Omit<ImageInfo, 'allocatedSize'>
  locate(offset: bigint): Location
  check(maxFindings: number): CheckReport
  write_zeroes(offset: bigint, length: bigint, unmap: boolean): void
  write_packed(offset: bigint, lengths: Uint32Array, bytes: Uint8Array): void
  discard(offset: bigint, length: bigint): void
  flush(): void
  copy_up(offset: bigint, length: bigint): void
  remove_backing(): void
  empty(): void
  compact(detectZeroes: boolean): void
  reclaimable(): Float64Array
  discard_vm_state(): void
  create_bitmap(name: string, granularity: bigint, enabled: boolean): void
  delete_bitmap(name: string): void
  clear_bitmap(name: string): void
  enable_bitmap(name: string, enabled: boolean): void
  mark_bitmap(name: string, ranges: BigUint64Array): void
  bitmap_extents(name: string, offset: bigint): Float64Array
  add_passphrase(existing: Uint8Array, added: Uint8Array, slot: number | undefined, keys: HostKeyOptions): FilledSlot
  change_passphrase(old: Uint8Array, changed: Uint8Array, keys: HostKeyOptions): FilledSlot
  erase_key_slot(slot: number): void
  erase_passphrase(passphrase: Uint8Array, slot: number | undefined): void
}

/** A key slot that was filled. */
export interface FilledSlot {
  readonly slot: number
}

/** The operations that change what a handle shows of itself: the disk's size, and the snapshots. */
export interface Changes {
  resize(size: bigint, shrink: boolean, preallocation: string): void
  create_snapshot(options: HostSnapshotOptions): Snapshot
  apply_snapshot(idOrName: string): void
  delete_snapshot(idOrName: string): void
  rename_snapshot(idOrName: string, name: string): void
}

/** What can be walked, in batches. */
export interface Walks {
  map(offset: bigint, length: bigint): Walk
  diff(from: string | undefined, to: string | undefined): Walk
}

/** A walk of the engine. */
export interface Walk {
  /** How many bytes have been walked, 1 if that is all, and the numbers of at most `limit` extents. */
  next(limit: number, signal: AbortSignal | undefined): Float64Array | Promise<Float64Array>
  free(): void
}

/** Which bytes a read is of. */
export type Readable = 'read' | 'read_vm_state'
/** Which bytes a write is of, and how they are stored. */
export type Writable = 'write' | 'write_compressed' | 'write_vm_state'

/**
 * An open image, or one of its snapshots, as the face drives it, wherever its engine runs. What it is given has been checked;
 * what goes wrong is a {@link Qcow2Error}, or the signal's reason.
 */
export interface Handle {
  readonly writable: boolean
  /** True if the methods that end in `Sync` work. */
  readonly sync: boolean
  readonly vmStateSize: number
  /** The disk's size, since the last change that was asked for here. */
  readonly size: number
  /** The snapshots, since the same. */
  readonly snapshots: readonly Snapshot[]
  readonly closed: boolean

  /** Runs an operation. */
  run<M extends keyof Operations>(
    method: M,
    args: Parameters<Operations[M]>,
    options?: LongOptions,
  ): Promise<ReturnType<Operations[M]>>

  /** Runs one that changes what the handle shows of itself, which is up to date when this is over, however it ends. */
  change<M extends keyof Changes>(
    method: M,
    args: Parameters<Changes[M]>,
    options?: LongOptions,
  ): Promise<ReturnType<Changes[M]>>

  /**
   * Reads into an array, or into a new one of a length; what is at hand needs no promise. Where it is `alone`, the handle
   * takes it for no reason to read what is next.
   */
  read(
    what: Readable,
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone?: boolean,
  ): Uint8Array | Promise<Uint8Array>
  /** True if the storage of the data may have faster ways than reads to read it from front to back. */
  readonly hasRuns: boolean
  /** Opens a run of that storage, at a host offset. */
  openRun(hostOffset: number, length: number): Run | undefined | Promise<Run | undefined>
  write(how: Writable, offset: bigint, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void>

  readSync(offset: ByteCount, into: Uint8Array): void
  writeSync(offset: bigint, bytes: Uint8Array): void
  flushSync(): void
  /** Runs an operation without waiting. */
  runSync<M extends 'write_zeroes' | 'discard'>(method: M, args: Parameters<Operations[M]>): void

  /** Returns how many bytes the image file takes where it is stored, if its storage knows. */
  allocatedSize(): Promise<number | undefined>

  /** Counts what was done through this handle. */
  statistics(): Statistics | Promise<Statistics>

  /** Begins a walk. */
  walk<M extends keyof Walks>(method: M, ...args: Parameters<Walks[M]>): Walk
  /** Opens a snapshot, which is closed on its own. */
  openSnapshot(idOrName: string): Promise<Handle>
  /** Ends what is under way, and closes; the second call waits for the first. */
  close(): Promise<void>
}
