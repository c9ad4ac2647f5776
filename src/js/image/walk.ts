import type { Progress } from '../disk/stream.js'
import type { Walk } from '../engine/handle.js'

/** How a walk is watched. */
export interface WalkOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** Extents that cross from the engine at a time. */
const batch = 512
/** After so many milliseconds of work the event loop gets its turn, so that a page stays alive and can abort. */
const turn = 25

/** The numbers of the extents that a walk brings, a batch at a time; it begins with the first one. */
export async function* batches(
  begin: () => Walk,
  total: number,
  { signal, onProgress }: WalkOptions,
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
        await new Promise((resolve) => setTimeout(resolve))
        began = performance.now()
      }
    }
  } finally {
    walk.free()
  }
}
