import { watchIn } from '../base/arguments.js'
import type { LongOptions, Progress } from '../base/progress.js'

/** `onProgress`, as the engine calls it. */
class Watch implements HostProgress {
  thrown: { readonly exception: unknown } | undefined
  readonly #onProgress: (progress: Progress) => void

  constructor(onProgress: (progress: Progress) => void) {
    this.#onProgress = onProgress
  }

  report(done: number, total: number): boolean {
    try {
      this.#onProgress({ done, total })
      return true
    } catch (exception) {
      this.thrown = { exception }
      return false
    }
  }
}

/** Receives the progress of the engine: `src/bridge/host.rs` lists what it calls. */
export interface HostProgress {
  /** Reports how much of how much is done. Returns false to end the operation. */
  report(done: number, total: number): boolean
}

/** Runs what `start` starts; an exception of `onProgress` comes out of it as it is. */
export async function watched<T>(
  options: LongOptions,
  start: (watch: HostProgress | undefined, signal: AbortSignal | undefined) => T | Promise<T>,
): Promise<T> {
  const { signal, onProgress } = watchIn(options)
  const watch = onProgress && new Watch(onProgress)
  try {
    return await start(watch, signal)
  } catch (error) {
    if (watch?.thrown) throw watch.thrown.exception
    throw error
  }
}
