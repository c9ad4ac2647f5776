/** Coming to an image and leaving it. Nothing that was not saved is lost without a question. */

import { signal } from '@preact/signals'
import type { NewImage } from '../engine/protocol'
import { forgetCheck } from './check'
import { forgetChanges, unsaved } from './edit'
import { setOrigin } from './save'
import { forgetSnapshotWork } from './snapshots'
import { closeImage, createImage, openFile, openSample } from './stage'

/** The question whether to leave, while it is open. */
export const leaving = signal<{ answer(leave: boolean): void } | null>(null)

/** Opens `file`. With a `handle` on it, it can be saved in its place. */
export async function enterFile(file: File, handle?: Promise<FileSystemHandle | null>): Promise<void> {
  // The browser gives it only while it handles the event.
  const origin = await handle?.catch(() => null)
  if (!(await mayLeave()) || !(await openFile(file))) return
  begin(origin instanceof FileSystemFileHandle ? origin : null)
}

/** Opens the sample. */
export async function enterSample(): Promise<void> {
  if ((await mayLeave()) && (await openSample())) begin(null)
}

/** Makes an image and shows it. Rejects with the reason why it can't be made. */
export async function enterNew(image: NewImage): Promise<void> {
  if (!(await mayLeave())) return
  await createImage(image)
  begin(null)
  // No file has it yet.
  unsaved.value = true
}

/** Closes the image. */
export async function leave(): Promise<void> {
  if (!(await mayLeave())) return
  await closeImage()
  begin(null)
}

/** Lets the browser ask, too, when the page itself is left. */
export function guardPage(): void {
  window.addEventListener('beforeunload', (event) => {
    if (unsaved.peek()) event.preventDefault()
  })
}

function begin(origin: FileSystemFileHandle | null): void {
  forgetChanges()
  forgetCheck()
  forgetSnapshotWork()
  setOrigin(origin)
}

/** True if nothing would be lost, or the person lets it go. */
async function mayLeave(): Promise<boolean> {
  if (!unsaved.peek()) return true
  leaving.peek()?.answer(false)
  return new Promise((resolve) => {
    const answer = (leave: boolean) => {
      leaving.value = null
      resolve(leave)
    }
    leaving.value = { answer }
  })
}
