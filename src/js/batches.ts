import type { Progress } from './stream.js'
import type { Tasks } from './tasks.js'

/** A walk of the engine, which crosses in batches. */
export interface Walk {
  /** How many bytes have been walked, 1 if that is all, and the numbers of at most `limit` extents; or a task's number. */
  next(limit: number): Float64Array | number
  free(): void
}

/** How a walk is watched. */
export interface WalkOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** Extents that cross from the engine at a time. */
const batch = 512
/** After so many milliseconds of work the event loop gets its turn, so that a page stays alive and can abort. */
const turn = 25

/** The numbers of the extents that `walk` brings, a batch at a time. */
export async function* batches(
  walk: Walk,
  total: number,
  tasks: Tasks,
  { signal, onProgress }: WalkOptions,
): AsyncGenerator<readonly number[]> {
  let began = performance.now()
  try {
    while (true) {
      const [done = 0, ended, ...numbers] = await tasks.run<Float64Array>(() => walk.next(batch), signal)
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
