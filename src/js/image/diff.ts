import type { LongOptions } from '../base/progress.js'
import type { Walk } from '../engine/handle.js'
import { batches } from './walk.js'

/** A part of the disk that may differ between two of its states. */
export interface DiffExtent {
  /** Where it begins on the disk, in bytes. */
  readonly start: number
  /** Its length in bytes. */
  readonly length: number
}

/** The extents of a walk, which begins with the first one. */
export async function* diffExtents(begin: () => Walk, total: number, options: LongOptions): AsyncGenerator<DiffExtent> {
  for await (const numbers of batches(begin, total, options)) {
    for (let at = 0; at < numbers.length; at += 2) yield { start: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 }
  }
}
