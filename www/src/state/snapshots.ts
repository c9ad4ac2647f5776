/** Taking snapshots, going back to them, and what follows from that for the page. */

import { signal } from '@preact/signals'
import type { DiffExtent, Snapshot } from 'qcow2-web'
import { engine } from '../engine/client'
import type { ChangesSummary, FileChange, OpenedImage, SnapshotChange } from '../engine/protocol'
import { withMoves } from '../snapshots/moves'
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

/** The differences between a snapshot and another one, or the active disk. */
export interface Comparison {
  from: Snapshot
  /** `null` for the active disk. */
  to: Snapshot | null
  /** Where the disks may differ. */
  extents: readonly DiffExtent[]
  bytes: number
  /** The files that differ, as far as they have been found. */
  files: readonly FileChange[]
  /** `null` until all files have been compared. */
  summary: ChangesSummary | null
}

/** The last comparison that was asked for. */
export const comparison = signal<Comparison | null>(null)

/** The comparison of files that is under way, or why it failed. */
export const fileWork = signal<Work | null>(null)

/** Finds the differences between a snapshot and another one, or the active disk: first by the tables, then by the files. */
export async function compare(from: Snapshot, to: Snapshot | null = null): Promise<void> {
  endComparison()
  const compared = await work(snapshotWork, `Comparing with “${nameOf(from)}”`, async (signal, onProgress) => {
    const extents = await engine.diff(from.id, to?.id ?? null, onProgress, signal)
    const bytes = extents.reduce((sum, { length }) => sum + length, 0)
    comparison.value = { from, to, extents, bytes, files: [], summary: null }
  })
  if (compared && comparison.peek()?.extents.length) await compareFiles()
}

/** Compares the files of the two states. */
export async function compareFiles(): Promise<void> {
  const begun = comparison.peek()
  if (!begun) return
  const { from, to } = begun
  let files: FileChange[] = []
  let last = begun
  const show = (change: Partial<Comparison>) => {
    // Another comparison may have been begun.
    if (comparison.peek() !== last) return
    last = { ...last, files, ...change }
    comparison.value = last
  }
  await work(fileWork, 'Comparing the files', async (signal, onProgress) => {
    show({ summary: null })
    const add = (more: FileChange[]) => {
      files = [...files, ...more]
      show({})
    }
    const summary = await engine.fileChanges(from.id, to?.id ?? null, add, onProgress, signal)
    files = withMoves(files)
    show({ summary })
  })
}

export const nameOf = ({ name, id }: Snapshot): string => name || id

/** Shows no comparison; what is under way is cancelled. */
export function endComparison(): void {
  comparison.value = null
  forgetWork(fileWork)
}

/** Another image is shown. */
export function forgetSnapshotWork(): void {
  endComparison()
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
    endComparison()
    noteChange()
    // The bytes that were typed over are others now.
    if (change.kind === 'apply') forgetSteps()
    showAgain(image)
  })
