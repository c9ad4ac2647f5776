/** Which passphrases open the image, and changing that. */

import { signal } from '@preact/signals'
import { isQcow2Error } from 'qcow2-web'
import { engine } from '../engine/client'
import type { KeySlotChange } from '../engine/protocol'
import { noteChange } from './edit'
import { inPlace, showAgain } from './stage'
import { forgetWork, type Work, work } from './work'

/** What the person is asked about. */
export type KeySlotAction = { kind: 'add' | 'change' } | { kind: 'erase'; slot: number; last: boolean }

/** The question that is open. */
export const askedOfKeySlots = signal<KeySlotAction | null>(null)

/** What is being done to the key slots, or what came of it. */
export const keySlotWork = signal<Work | null>(null)

const DOING = {
  add: 'Deriving the keys',
  change: 'Deriving the keys',
  erase: 'Erasing the slot',
}

/** What to do where the engine refuses. */
const ADVICE: Record<string, string> = {
  WRONG_PASSPHRASE: 'The first passphrase opens none of the key slots. Type it again, with the same capitals.',
  KEY_SLOTS_FULL: 'All eight slots are in use. Erase one of them first.',
  LAST_KEY_SLOT: 'It is the only slot: nothing would open the image any more. Add another passphrase first.',
}

/** Does what was asked for; the question stays open until that is done. */
export async function changeKeySlots(change: KeySlotChange): Promise<void> {
  const done = await work(keySlotWork, DOING[change.kind], async (signal, onProgress) => {
    const image = await engine.changeKeySlots(change, onProgress, signal).catch((error) => {
      throw new Error((isQcow2Error(error) && ADVICE[error.code]) || error)
    })
    noteChange()
    showAgain(image)
    return `${outcomeOf(change)}${inPlace.peek() ? '' : ' Save the image to keep that.'}`
  })
  if (done) askedOfKeySlots.value = null
}

/** Opens a question, or closes it with `null`. What is under way is cancelled. */
export function askOfKeySlots(action: KeySlotAction | null): void {
  forgetWork(keySlotWork)
  askedOfKeySlots.value = action
}

/** Another image is shown. */
export const forgetKeySlotWork = (): void => askOfKeySlots(null)

function outcomeOf(change: KeySlotChange): string {
  if (change.kind === 'erase') return `Slot ${change.slot} is erased.`
  return change.kind === 'add'
    ? 'The new passphrase opens the image, too.'
    : 'The new passphrase opens the image in place of the old one.'
}
