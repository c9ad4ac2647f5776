/** Taking snapshots, going back to them, and what follows from that for the page. */

import { signal } from '@preact/signals'
import type { DiffExtent, Snapshot } from 'qcow2-web'
import { engine } from '../engine/client'
import type { OpenedImage, SnapshotChange } from '../engine/protocol'
import { forgetSteps, noteChange } from './edit'
import { showAgain } from './stage'
import { forgetWork, type Work, work } from './work'

/** What the person is asked about. */
export interface SnapshotAction {
  kind: 'apply' | 'delete' | 'rename'
  snapshot: Snapshot
}

/** What is being done to the snapshots, or why it failed. */
export const snapshotWork = signal<Work | null>(null)

/** What may differ between a snapshot and the disk. */
export interface Comparison {
  snapshot: Snapshot
  extents: readonly DiffExtent[]
  bytes: number
}

/** The last comparison that was asked for. */
export const comparison = signal<Comparison | null>(null)

/** Finds what may differ between a snapshot and the disk. */
export const compare = (snapshot: Snapshot): Promise<boolean> =>
  work(snapshotWork, `Comparing with “${snapshot.name}”`, async (signal, onProgress) => {
    const extents = await engine.diff(snapshot.id, onProgress, signal)
    comparison.value = { snapshot, extents, bytes: extents.reduce((sum, { length }) => sum + length, 0) }
  })

/** Another image is shown. */
export function forgetSnapshotWork(): void {
  comparison.value = null
  forgetWork(snapshotWork)
}

export const takeSnapshot = (name: string): Promise<boolean> => change(`Taking “${name}”`, { kind: 'create', name })

export const applySnapshot = ({ id, name }: Snapshot): Promise<boolean> =>
  change(`Going back to “${name}”`, { kind: 'apply', id })

export const deleteSnapshot = ({ id, name }: Snapshot): Promise<boolean> =>
  change(`Deleting “${name}”`, { kind: 'delete', id })

export const renameSnapshot = ({ id, name }: Snapshot, to: string): Promise<boolean> =>
  change(`Renaming “${name}”`, { kind: 'rename', id, name: to })

const change = (what: string, change: SnapshotChange): Promise<boolean> =>
  work(snapshotWork, what, async (signal, onProgress) => {
    const image: OpenedImage = await engine.changeSnapshots(change, onProgress, signal)
    comparison.value = null
    noteChange()
    // The bytes that were typed over are others now.
    if (change.kind === 'apply') forgetSteps()
    showAgain(image)
  })
