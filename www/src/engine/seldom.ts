import type { Progress } from './protocol'

/** Milliseconds between two messages that tell the page how far something has come. */
export const TELL_EVERY = 80

/** Tells now and then only, for each time crosses to the page. */
export function seldom(onProgress: (progress: Progress) => void): (progress: Progress) => void {
  let told = performance.now()
  return (progress) => {
    if (performance.now() - told < TELL_EVERY) return
    told = performance.now()
    onProgress({ ...progress })
  }
}
