import type { ByteCount } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { Walk } from '../engine/handle.js'
import { batches } from './walk.js'

/** A run of the disk whose bytes are all stored in the same way; the terms are those of `qemu-img map`. */
export interface Extent {
  /** Where it begins on the disk, in bytes. */
  readonly start: number
  /** Its length in bytes. */
  readonly length: number
  /** Which file of the chain it comes from: 0 is the image itself, 1 its backing file, and so on. */
  readonly depth: number
  /** True if a file of the chain says something about it; false if none does, so that it reads as zeros. */
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

/** What part of the disk {@link Qcow2.map} walks, and how it is watched. */
export interface MapOptions extends LongOptions {
  /** Where to begin, in bytes. Default: 0. */
  readonly offset?: ByteCount | undefined
  /** How many bytes to walk. Default: up to the disk's end. */
  readonly length?: ByteCount | undefined
}

/** Numbers an extent is made of on its way. */
const fields = 5

/** The extents of a walk, which begins with the first one. */
export async function* extents(begin: () => Walk, total: number, options: MapOptions): AsyncGenerator<Extent> {
  for await (const numbers of batches(begin, total, options)) {
    for (let at = 0; at < numbers.length; at += fields) yield extent(numbers, at)
  }
}

function extent(numbers: readonly number[], at: number): Extent {
  const [start = 0, length = 0, depth = 0, flags = 0, offset = -1] = numbers.slice(at, at + fields)
  return {
    start,
    length,
    depth,
    present: (flags & 1) !== 0,
    zero: (flags & 2) !== 0,
    data: (flags & 4) !== 0,
    compressed: (flags & 8) !== 0,
    offset: offset < 0 ? undefined : offset,
  }
}
