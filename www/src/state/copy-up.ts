/** Copying what the backing files still supply into the image, until it needs them no longer. */

import { computed, signal } from '@preact/signals'
import { engine } from '../engine/client'
import { editInMemory, unsaved } from './edit'
import { inPlace, opened, showAgain, storedPath } from './stage'
import { forgetWork, type Work, work } from './work'

/** The copying that is under way, or what came of it. */
export const copying = signal<Work | null>(null)

/** True if the copy goes into the file in the browser's storage, which needs no editing. */
export const copiesInPlace = computed(() => inPlace.value || (storedPath.value !== null && !opened.value?.editing))

/** Why the image can't be made independent of its backing file now, as a sentence; `null` where it can be. */
export const notCopyable = computed(() => {
  const image = opened.value
  if (image?.notEditable) return image.notEditable
  if (image?.without.length) return 'A file of the chain was not given: open the image again, and choose it.'
  if (image?.snapshots.length) return 'Its snapshots may need the base, too. Delete them first.'
  return null
})

/** Copies in the background: the image can be looked at meanwhile. */
export async function copyUp(): Promise<void> {
  const stays = copiesInPlace.peek()
  if (!stays) {
    if (!opened.peek()?.editing && !(await editInMemory())) return
    // What is copied is changed, also if it is not all.
    unsaved.value = true
  }
  const base = opened.peek()?.files.find(({ key }) => key === 'backing-1')?.name ?? 'its base'
  const run = async (signal: AbortSignal, onProgress: (progress: { done: number; total: number }) => void) => {
    const image = await engine.copyUp(onProgress, signal)
    showAgain(image)
    return `The image needs ${base} no longer.${stays ? '' : ' Save it to keep that.'}`
  }
  await work(copying, 'Copying', run)
}

/** Another image is shown. */
export const forgetCopyUp = (): void => forgetWork(copying)
