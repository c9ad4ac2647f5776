import type { Extent, MapOptions } from '../disk/extent.js'
import type { Walk } from '../engine/handle.js'
import { batches } from './walk.js'

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
