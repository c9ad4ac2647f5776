import type { Progress } from '../../disk/stream.js'
import type { Changes, FileOperations, Operations, Readable, Walks, Writable } from '../../engine/handle.js'
import type { PackedClusters, Packing } from '../../engine/packer.js'
import type { Snapshot } from '../../engine/values.js'
import type { Use } from '../../storage/claims.js'
import type { OpfsFileOptions } from '../../storage/opfs/file.js'
import type { OpfsPath } from '../../storage/opfs/path.js'
import type { Thrown } from './thrown.js'
import type { Packed } from './tokens.js'

/** What the two sides say to each other; what has no `qcow2` is somebody else's. */
export type Message =
  | Call
  /** Nobody waits for what a call comes to. */
  | { readonly qcow2: 'cancel'; readonly id: number }
  /** How far a call has come. */
  | { readonly qcow2: 'progress'; readonly id: number; readonly progress: Progress }
  | { readonly qcow2: 'value'; readonly id: number; readonly value: unknown }
  | { readonly qcow2: 'error'; readonly id: number; readonly error: Thrown }

/** A call of one of the other side's methods. */
export interface Call {
  readonly qcow2: 'call'
  /** A number that its caller has given to no other. */
  readonly id: number
  readonly method: string
  readonly args: readonly unknown[]
  /** It may be cancelled. */
  readonly cancellable: boolean
  /** The caller wants to know how far it is. */
  readonly watched: boolean
}

/** What a page may ask of the worker. */
export interface WorkerMethods extends FileMethods, ImageMethods, PackMethods {
  /** The first of all calls: the worker is to hold a Web Lock of this name, if there is one, for as long as it lives. */
  begin(lock: string | undefined): void
}

/** Files of the origin-private file system, numbered by the page. */
export interface FileMethods {
  open(file: number, path: OpfsPath, options: OpfsFileOptions): void
  size(file: number): number
  read(file: number, offset: number, length: number): Uint8Array<ArrayBuffer>
  write(file: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void
  truncate(file: number, size: number): void
  flush(file: number): void
  close(file: number): void
}

/** Images, snapshots of them and walks through them: all are numbered by the page. */
export interface ImageMethods {
  /** Comes before all others. */
  load(module: WebAssembly.Module): void
  openImage(image: number, storage: Packed, options: Packed): Facts
  createImage(image: number, storage: Packed, options: Packed): Facts
  openSnapshot(image: number, snapshot: number, idOrName: string): Facts
  /** What is true of an image now. */
  facts(image: number): Facts
  run<M extends keyof Operations>(image: number, method: M, args: Parameters<Operations[M]>): unknown
  change<M extends keyof Changes>(image: number, method: M, args: Parameters<Changes[M]>): unknown
  /** Into new memory of a length, or into some that is given for it. */
  readImage(image: number, what: Readable, offset: bigint, target: number | ArrayBuffer): Uint8Array<ArrayBuffer>
  /** A part of the disk that the page fetches ahead: see `LocalHandle.give`. */
  giveOfImage(image: number, offset: bigint, length: number): Uint8Array<ArrayBuffer>
  writeImage(image: number, how: Writable, offset: bigint, bytes: Uint8Array): void
  beginWalk<M extends keyof Walks>(image: number, walk: number, method: M, args: Parameters<Walks[M]>): void
  continueWalk(walk: number, limit: number): Float64Array
  endWalk(walk: number): void
  /** Also of one that is not open. */
  closeImage(image: number): void
  /** Runs an operation on a file that no image is opened for. */
  runOnFile<M extends keyof FileOperations>(
    storage: Packed,
    use: Use,
    method: M,
    args: Parameters<FileOperations[M]>,
  ): unknown
  /** A signal of the page is aborted. */
  abort(signal: number, reason: Thrown): void
}

/** Packing clusters for an image that is elsewhere. */
export interface PackMethods {
  pack(packing: Packing, disk: Uint8Array<ArrayBuffer>): PackedClusters
}

/** What the worker may ask of the page: of objects that the page provides, by number. */
export interface PageMethods {
  invoke(callback: number, args: readonly unknown[]): Packed
  openStorage(storage: number): void
  sizeOfStorage(storage: number): number
  readStorage(storage: number, offset: number, length: number): Uint8Array
  writeStorage(storage: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void
  truncateStorage(storage: number, size: number): void
  flushStorage(storage: number): void
  closeStorage(storage: number): void
}

/** What an image shows of itself. */
export interface Facts {
  readonly writable: boolean
  /** What is fetched ahead best comes in arrays of the worker's, and in long pieces. */
  readonly gives: boolean
  readonly vmStateSize: number
  readonly size: number
  readonly snapshots: readonly Snapshot[]
}
