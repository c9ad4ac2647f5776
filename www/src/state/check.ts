/** The check of the image: what it found, and what a repair did. */

import { computed, effect, signal } from '@preact/signals'
import type { CheckReport, RepairReport } from 'qcow2-web'
import { engine } from '../engine/client'
import { forgetSteps, noteChange } from './edit'
import { opened, origin, showAgain } from './stage'
import { overview } from './survey'
import { forgetWork, isRunning, type Work, work } from './work'

export type Repair = 'leaks' | 'all'

export interface Checked {
  report: CheckReport
  /** What a repair did, if it was one. */
  repaired: RepairReport | null
  /** Whether that is in the file already; else it has to be saved. */
  kept: boolean
}

/** The check or the repair that is under way, or why it failed. */
export const checking = signal<Work | null>(null)

/** What the last one found of the file that is shown; `null` before the first. */
export const checked = signal<Checked | null>(null)

/** The repair that the person is asked about. */
export const asked = signal<{ repair: Repair; report: CheckReport } | null>(null)

/** What the tab shows of the last check. */
export const checkMark = computed(() => {
  const report = checked.value?.report
  if (!report || report.verdict === 'leaks') return undefined
  return report.verdict === 'clean'
    ? ({ tone: 'good', words: ', no errors were found' } as const)
    : ({ tone: 'bad', words: ', errors were found' } as const)
})

/** Larger files are checked only when that is asked for. */
const LARGEST = 256 * 2 ** 20

/**
 * Checks each small file of this device once it is shown and its tables have been read. Nothing waits for that, and it ends where
 * the image is opened in another way.
 */
export function checkByItself(): void {
  const isRead = computed(() => overview.value?.state === 'done')
  effect(() => {
    const image = opened.value
    const source = origin.value?.source
    if (!image || !source || 'url' in source || image.editing || image.info.fileSize > LARGEST || !isRead.value) return
    if (checked.peek() || isRunning(checking.peek())) return
    const controller = new AbortController()
    engine
      .check(() => {}, controller.signal)
      .then(
        (report) => {
          if (opened.peek() === image && !checked.peek()) checked.value = { report, repaired: null, kept: true }
        },
        // The person can check it, and then sees why that fails.
        () => {},
      )
    return () => controller.abort()
  })
}

/** Checks the image with its changes. */
export const startCheck = (): Promise<boolean> =>
  work(checking, 'Checking', async (signal, onProgress) => {
    checked.value = { report: await engine.check(onProgress, signal), repaired: null, kept: true }
  })

/**
 * Repairs the image where it is being changed; else with `inFile` in its file, or in memory, and opens it for editing, if it
 * opens: it is not saved by that.
 */
export async function repairNow(repair: Repair, acceptLoss: boolean, inFile: boolean): Promise<void> {
  asked.value = null
  await work(checking, 'Repairing', async (signal, onProgress) => {
    const kept = inFile || opened.peek()?.editing === 'file'
    const { report, image } = await engine.repair(repair, { acceptLoss, inFile }, onProgress, signal)
    forgetSteps()
    if (!kept) noteChange()
    if (image) showAgain(image)
    checked.value = { report: report.after, repaired: report, kept }
  })
}

/** Another image is shown; what is under way is cancelled. */
export function forgetCheck(): void {
  forgetWork(checking)
  checked.value = null
  asked.value = null
}
