/** What takes long: what it is, how far it has come, how to give it up, and what came of it. */

import type { Signal } from '@preact/signals'
import { messageOf } from '../engine/message'
import type { Progress } from '../engine/protocol'

export type Work = Running | { problem: string } | { outcome: string }

interface Running {
  what: string
  progress: Progress | null
  cancel(): void
}

/** Shows nothing more; what is under way is cancelled. */
export function forgetWork(shown: Signal<Work | null>): void {
  const now = shown.peek()
  if (isRunning(now)) now.cancel()
  shown.value = null
}

export const isRunning = (work: Work | null): work is Running => work !== null && 'cancel' in work

/**
 * Does something long, and shows it in `shown`; then its outcome, if `run` gives a sentence. If it is cancelled, nothing is shown. True if it
 * was done.
 */
export async function work(
  shown: Signal<Work | null>,
  what: string,
  run: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<unknown>,
): Promise<boolean> {
  const controller = new AbortController()
  const cancel = () => controller.abort()
  const begun: Running = { what, progress: null, cancel }
  let last = begun
  // What was shown for another image, or for later work, stays.
  const show = (next: Work | null) => {
    if (shown.peek() === last) shown.value = next
  }
  shown.value = begun
  try {
    const outcome = await run(controller.signal, (progress) => {
      const next = { what, progress, cancel }
      show(next)
      last = next
    })
    show(typeof outcome === 'string' ? { outcome } : null)
    return true
  } catch (error) {
    show(controller.signal.aborted ? null : { problem: `${what} failed: ${messageOf(error)}` })
    return false
  }
}
