import type { OnProgress } from './protocol'

/** Milliseconds between two reports of progress to the page. */
export const REPORT_EVERY = 80

/** Reports progress only now and then, for each report crosses to the page. */
export function seldom(onProgress: OnProgress): OnProgress {
  let reported = performance.now()
  return (progress) => {
    if (performance.now() - reported < REPORT_EVERY) return
    reported = performance.now()
    onProgress({ ...progress })
  }
}
