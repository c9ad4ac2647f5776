import type { ByteCount } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'

/** A run of the disk whose bytes are all stored in the same way; the terms are those of `qemu-img map`. */
export interface Extent {
  /** Where it begins on the disk, in bytes. */
  readonly start: number
  /** Its length in bytes. */
  readonly length: number
  /** Which file of the chain it comes from: 0 is the image itself, 1 its backing file, and so on. */
  readonly depth: number
  /** True if a file of the chain maps it. False if none does: it reads as zeros. */
  readonly present: boolean
  /** True if it reads as zeros. */
  readonly zero: boolean
  /** True if bytes are stored for it. */
  readonly data: boolean
  /** True if these bytes are compressed. */
  readonly compressed: boolean
  /** Where its bytes begin in their file; `undefined` where there are none, or none that could be read as they are. */
  readonly offset: number | undefined
}

/** Which part of a disk to look at. */
export interface RangeOptions {
  /** Where to begin, in bytes. Default: 0. */
  readonly offset?: ByteCount | undefined
  /** How many bytes. Default: up to the disk's end. */
  readonly length?: ByteCount | undefined
}

/** Which part of the disk {@link Disk.map} walks, and how it is watched. Progress is reported in bytes of the range. */
export interface MapOptions extends RangeOptions, LongOptions {}
