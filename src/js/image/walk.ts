import type { LongOptions } from '../base/progress.js'
import type { Walk } from '../engine/handle.js'
import { nextTurn } from '../engine/time-slices.js'

/** Extents that cross from the engine at a time. */
const batch = 512
/** After so many milliseconds of work the event loop gets its turn, so that a page stays alive and can abort. */
const turn = 25

/** The numbers of the extents that a walk brings, a batch at a time; it begins with the first one. */
export async function* batches(
  begin: () => Walk,
  total: number,
  { signal, onProgress }: LongOptions,
): AsyncGenerator<readonly number[]> {
  const walk = begin()
  let began = performance.now()
  try {
    while (true) {
      const [done = 0, ended, ...numbers] = await walk.next(batch, signal)
      yield numbers
      onProgress?.({ done, total })
      if (ended) return
      if (performance.now() - began > turn) {
        await nextTurn()
        began = performance.now()
      }
    }
  } finally {
    walk.free()
  }
}
