import type { Use } from '../base/storage/claims.js'
import type { Changes, FileOperations, Operations, Readable, Walks, Writable } from '../engine/handle.js'
import type { CompressedClusters, Packing } from '../engine/packer.js'
import type { Statistics } from '../engine/statistics.js'
import type { Snapshot } from '../engine/values.js'
import type { OpfsMethods } from '../storage/opfs/remote.js'
import type { Thrown } from './rpc/thrown.js'
import type { Encoded } from './tokens.js'

/** A module of the engine, by its name in {@link configure}. */
export type EngineName = 'wasm' | 'reader'

/** What a page may ask of the worker. */
export interface WorkerMethods extends OpfsMethods, ImageMethods, PackMethods {}

/** Images, snapshots of them and walks through them: all are numbered by the page. */
export interface ImageMethods {
  /**
   * Comes before all others.
   *
   * @param modules the number of the page's function that gives a module, by its name.
   * @param reads whether there is a module that only reads.
   */
  load(modules: number, reads: boolean): void
  openImage(image: number, storage: Encoded, options: Encoded): Facts
  createImage(image: number, storage: Encoded, options: Encoded): Facts
  openSnapshot(image: number, snapshot: number, idOrName: string): Facts
  /** What is true of an image now. */
  facts(image: number): Facts
  /** How many bytes the image file takes where it is stored, if its storage knows. */
  allocatedSize(image: number): number | undefined
  /** What was done through an image. */
  statistics(image: number): Statistics
  run<M extends keyof Operations>(image: number, method: M, args: Parameters<Operations[M]>): unknown
  change<M extends keyof Changes>(image: number, method: M, args: Parameters<Changes[M]>): unknown
  /** Into new memory of a length, or into some that is given for it. */
  readImage(image: number, what: Readable, offset: bigint, target: number | ArrayBuffer): Uint8Array<ArrayBuffer>
  /** A part of the disk that the page fetches ahead: see `LocalHandle.give`. */
  giveOfImage(image: number, offset: bigint, length: number): Uint8Array<ArrayBuffer>
  /** Opens a run of the image's file; false if there is no faster way than reads. It ends when all of it was read. */
  openRun(image: number, run: number, hostOffset: number, length: number): boolean
  /** The next bytes of a run. */
  readRun(run: number, length: number): Uint8Array<ArrayBuffer>
  /** Ends a run early. */
  closeRun(image: number, run: number): void
  writeImage(image: number, how: Writable, offset: bigint, bytes: Uint8Array): void
  beginWalk<M extends keyof Walks>(image: number, walk: number, method: M, args: Parameters<Walks[M]>): void
  continueWalk(walk: number, limit: number): Float64Array
  endWalk(image: number, walk: number): void
  /** Also of one that is not open. */
  closeImage(image: number): void
  /** Runs an operation on a file that no image is opened for. */
  runOnFile<M extends keyof FileOperations>(
    storage: Encoded,
    use: Use,
    method: M,
    args: Parameters<FileOperations[M]>,
  ): unknown
  /** A signal of the page is aborted. */
  abort(signal: number, reason: Thrown): void
}

/** Compressing clusters for an image that is elsewhere. */
export interface PackMethods {
  pack(packing: Packing, disk: Uint8Array<ArrayBuffer>): CompressedClusters
}

/** What an image shows of itself. */
export interface Facts {
  readonly writable: boolean
  /** Whether what is fetched ahead best comes in arrays of the worker's, and in long reads. */
  readonly gives: boolean
  readonly vmStateSize: number
  readonly size: number
  readonly snapshots: readonly Snapshot[]
}
