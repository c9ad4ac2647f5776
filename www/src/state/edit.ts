/** Changing the disk: what has been written since the image was saved, and how to undo it. */

import { computed, signal } from '@preact/signals'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Blocks } from '../hex/blocks'
import { formatOffset } from '../values/offset'
import { disk, inPlace, opened, showAgain } from './stage'
import { forgetWork, type Work, work } from './work'

/** Milliseconds without a change until the map is drawn anew. */
const SURVEY_AFTER = 600

/** A byte that was typed, or a change of the files of a volume. */
type Step = { at: bigint; before: number; after: number } | { volume: string }

/** True if the disk that is shown can be changed: the active one, while it is edited. */
export const editable = computed(() => opened.value?.editing != null && disk.value?.snapshot === null)

/** The bytes of the disk that the hex view shows, while it does. */
export const shownBlocks = signal<Blocks | null>(null)

/** What was written, the oldest first. */
const steps = signal<readonly Step[]>([])

/** What was undone, the last one last, until something else is written. */
const undone = signal<readonly Extract<Step, { at: bigint }>[]>([])

/** True if the image has changes that no file has for certain. */
export const unsaved = signal(false)

/** The bytes that are being written. */
const writing = new Set<Promise<void>>()

/** The unlocking that is under way, or why it failed. */
export const unlocking = signal<Work | null>(null)

/** Why the last change failed. */
export const editProblem = signal<string | null>(null)

/** The offsets that were changed since the image was saved. */
export const changed = computed(() => new Set(steps.value.flatMap((step) => ('at' in step ? step.at : []))))

export const canUndo = computed(() => steps.value.length > 0 && !undoingFiles.value)
export const canRedo = computed(() => undone.value.length > 0)

/** Opens the image for editing in memory, until it is saved. True if that was done. */
export const editInMemory = (): Promise<boolean> =>
  work(unlocking, 'Unlocking', async (signal) => showAgain(await engine.edit(signal)))

/**
 * Writes the byte at `at`, which the hex view shows. It shows the new byte without waiting, and the old one again if that fails. Returns
 * false while the old byte is not known.
 */
export function writeByte(at: bigint, value: number): boolean {
  const before = shownBlocks.peek()?.byte(at)
  if (typeof before !== 'number') return false
  if (before === value) return true
  undone.value = []
  take({ at, before, after: value })
  return true
}

/** The files of a volume were changed. Without `undoable`, nothing that was done up to then can be undone. */
export function noteFilesChange(volume: string, undoable: boolean): void {
  noteChange()
  undone.value = []
  steps.value = undoable ? [...steps.peek(), { volume }] : []
  surveySoon(0)
}

function take(step: Extract<Step, { at: bigint }>): void {
  steps.value = [...steps.peek(), step]
  put(step.at, step.after, () => {
    steps.value = steps.peek().filter((each) => each !== step)
  })
}

/** Undoes the last change. Returns where it was, if it was a byte. */
export function undo(): bigint | null {
  const last = steps.peek().at(-1)
  if (!last || undoingFiles.peek()) return null
  steps.value = steps.peek().slice(0, -1)
  if ('volume' in last) {
    undone.value = []
    const undoing = undoFiles(last.volume)
    writing.add(undoing)
    void undoing.then(() => writing.delete(undoing))
    return null
  }
  undone.value = [...undone.peek(), last]
  put(last.at, last.before)
  return last.at
}

/** Writes again what was undone last. Returns where it is. */
export function redo(): bigint | null {
  const last = undone.peek().at(-1)
  if (!last) return null
  undone.value = undone.peek().slice(0, -1)
  take(last)
  return last.at
}

/** True while a change of files is undone. */
const undoingFiles = signal(false)

async function undoFiles(volume: string): Promise<void> {
  undoingFiles.value = true
  editProblem.value = null
  try {
    await engine.undoFiles(volume)
  } catch (error) {
    forgetSteps()
    editProblem.value = `The change of files was not undone: ${messageOf(error)}`
  } finally {
    undoingFiles.value = false
    noteChange()
    surveySoon(0)
  }
}

/** The image was changed otherwise than by typing. A change in place is durable already. */
export function noteChange(): void {
  if (!inPlace.peek()) unsaved.value = true
}

/** Makes durable what was changed in place. */
export async function flushChanges(): Promise<void> {
  await Promise.all(writing)
  unsaved.value = false
  try {
    await engine.flush()
  } catch (error) {
    unsaved.value = true
    throw error
  }
}

/** What was typed can't be undone any more: the disk is another one. */
export function forgetSteps(): void {
  steps.value = []
  undone.value = []
}

/** Nothing is left to be saved: the image was saved, or is no longer shown. */
export function forgetChanges(): void {
  forgetSteps()
  unsaved.value = false
  editProblem.value = null
  forgetWork(unlocking)
}

function put(at: bigint, value: number, onFailure?: () => void): void {
  unsaved.value = true
  shownBlocks.peek()?.put(at, value)
  // The worker carries out calls in their order.
  const write = engine.write(at, Uint8Array.of(value)).then(
    () => surveySoon(),
    (error) => {
      editProblem.value = `The byte at ${formatOffset(at)} was not written: ${messageOf(error)}`
      shownBlocks.peek()?.forget(at)
      onFailure?.()
    },
  )
  writing.add(write)
  void write.then(() => writing.delete(write))
}

let pending: ReturnType<typeof setTimeout> | undefined

/** A change may have allocated a cluster, which the map shows. */
function surveySoon(after = SURVEY_AFTER): void {
  clearTimeout(pending)
  const generation = opened.peek()?.generation
  pending = setTimeout(() => {
    const shown = disk.peek()
    if (shown && opened.peek()?.generation === generation) disk.value = { ...shown }
  }, after)
}
