/** The check of the image: what it found, and what a repair did. */

import { signal } from '@preact/signals'
import type { CheckReport, RepairReport } from 'qcow2-web'
import { engine } from '../engine/client'
import type { Progress } from '../engine/protocol'
import { forgetSteps, unsaved } from './edit'
import { messageOf, showAgain } from './stage'

export type Repair = 'leaks' | 'all'

export type Check =
  | { state: 'working'; what: string; progress: Progress | null; cancel(): void }
  | { state: 'done'; report: CheckReport; repaired: RepairReport | null }
  | { state: 'failed'; problem: string }

/** The last check of the file that is shown; `null` before the first. */
export const check = signal<Check | null>(null)

/** The repair that the person is asked about. */
export const asked = signal<{ repair: Repair; report: CheckReport } | null>(null)

/** Checks the image as it is now, with its changes. */
export const startCheck = (): Promise<void> =>
  work('Checking', async (signal, onProgress) => {
    check.value = { state: 'done', report: await engine.check(onProgress, signal), repaired: null }
  })

/** Repairs the image in memory, and opens it for editing, if it opens: it is not saved by that. */
export async function repairNow(repair: Repair, acceptLoss: boolean): Promise<void> {
  asked.value = null
  await work('Repairing', async (signal, onProgress) => {
    const { report, image } = await engine.repair(repair, acceptLoss, onProgress, signal)
    forgetSteps()
    unsaved.value = true
    if (image) showAgain(image)
    check.value = { state: 'done', report: report.after, repaired: report }
  })
}

/** Another image is shown. */
export function forgetCheck(): void {
  check.value = null
  asked.value = null
}

async function work(
  what: string,
  run: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const cancel = () => controller.abort()
  const before = check.peek()
  check.value = { state: 'working', what, progress: null, cancel }
  const onProgress = (progress: Progress) => {
    if (check.peek()?.state === 'working') check.value = { state: 'working', what, progress, cancel }
  }
  try {
    await run(controller.signal, onProgress)
  } catch (error) {
    check.value = controller.signal.aborted ? before : { state: 'failed', problem: messageOf(error) }
  }
}
