/** Taking snapshots, going back to them, and what follows from that for the page. */

import { signal } from '@preact/signals'
import type { DiffExtent, Snapshot } from 'qcow2-web'
import { engine } from '../engine/client'
import type { OpenedImage, Progress, SnapshotChange } from '../engine/protocol'
import { forgetSteps, unsaved } from './edit'
import { messageOf, showAgain } from './stage'

/** What the person is asked about. */
export interface SnapshotAction {
  kind: 'apply' | 'delete' | 'rename'
  snapshot: Snapshot
}

/** What is being done to the snapshots, or why it failed. */
export const snapshotWork = signal<
  { what: string; progress: Progress | null; cancel(): void } | { problem: string } | null
>(null)

/** What may differ between a snapshot and the disk. */
export interface Comparison {
  snapshot: Snapshot
  extents: readonly DiffExtent[]
  bytes: number
}

/** The last comparison that was asked for. */
export const comparison = signal<Comparison | null>(null)

/** Finds what may differ between a snapshot and the disk. */
export const compare = (snapshot: Snapshot): Promise<void> =>
  work(`Comparing with “${snapshot.name}”`, async (signal, onProgress) => {
    const extents = await engine.diff(snapshot.id, onProgress, signal)
    comparison.value = { snapshot, extents, bytes: extents.reduce((sum, { length }) => sum + length, 0) }
  })

/** Another image is shown. */
export function forgetSnapshotWork(): void {
  comparison.value = null
  snapshotWork.value = null
}

export const takeSnapshot = (name: string): Promise<void> => change(`Taking “${name}”`, { kind: 'create', name })

export const applySnapshot = ({ id, name }: Snapshot): Promise<void> =>
  change(`Going back to “${name}”`, { kind: 'apply', id })

export const deleteSnapshot = ({ id, name }: Snapshot): Promise<void> =>
  change(`Deleting “${name}”`, { kind: 'delete', id })

export const renameSnapshot = ({ id, name }: Snapshot, to: string): Promise<void> =>
  change(`Renaming “${name}”`, { kind: 'rename', id, name: to })

const change = (what: string, change: SnapshotChange): Promise<void> =>
  work(what, async (signal, onProgress) => {
    const image: OpenedImage = await engine.changeSnapshots(change, onProgress, signal)
    comparison.value = null
    unsaved.value = true
    // The bytes that were typed over are others now.
    if (change.kind === 'apply') forgetSteps()
    showAgain(image)
  })

async function work(
  what: string,
  run: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const cancel = () => controller.abort()
  snapshotWork.value = { what, progress: null, cancel }
  try {
    await run(controller.signal, (progress) => {
      if (!controller.signal.aborted) snapshotWork.value = { what, progress, cancel }
    })
    snapshotWork.value = null
  } catch (error) {
    snapshotWork.value = controller.signal.aborted ? null : { problem: `${what} failed: ${messageOf(error)}` }
  }
}
