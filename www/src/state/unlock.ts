/** Unlocking the image: where its changes are to go, whether another tab changes its file, and locking it again. */

import { signal } from '@preact/signals'
import { isQcow2Error } from 'qcow2-web'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import { editInMemory, forgetChanges, unlocking } from './edit'
import { letGo } from './enter'
import { mayLeave } from './leave'
import { saved } from './save'
import { inPlace, opened, showAgain, storedPath } from './stage'
import { forgetWork, work } from './work'

/** True while the person is asked where the changes of an image that the browser keeps are to go. */
export const asksToUnlock = signal(false)

/** True if another tab changes the file. */
export const inUse = signal(false)

/** Opens the image for editing. Asks how if there is a choice. */
export async function unlock(): Promise<void> {
  saved.value = null
  if (storedPath.peek() === null) return unlockInMemory()
  unlocking.value = null
  inUse.value = false
  asksToUnlock.value = true
}

/** Asks no more; what is under way is cancelled. */
export function forgetUnlocking(): void {
  forgetWork(unlocking)
  asksToUnlock.value = false
}

/** Opens the image for editing in memory, as the person chose. */
export async function unlockInMemory(): Promise<void> {
  asksToUnlock.value = false
  await editInMemory()
}

/** Opens the file itself for editing. With `takeOver`, another tab that has it open is asked to close it. */
export async function unlockInPlace(takeOver: boolean): Promise<void> {
  const what = takeOver ? 'Waiting for the other tab' : 'Opening the file for changes'
  await work(unlocking, what, async (signal) => {
    try {
      const image = await engine.editInPlace(takeOver, onTaken, signal)
      asksToUnlock.value = false
      showAgain(image)
    } catch (error) {
      inUse.value = isQcow2Error(error) && error.code === 'IN_USE'
      throw error
    }
  })
}

/** Another tab took the file over, and the engine has closed it. */
function onTaken(problem: string | null): void {
  const name = opened.peek()?.name ?? 'The image'
  const rest = problem ? `Its last changes could not be stored: ${problem}` : 'What you changed here is stored.'
  void letGo({ tone: problem ? 'bad' : 'info', text: `${name} is edited in another tab now. ${rest}` })
}

/** Closes the image for changes; asks first if some would be lost. One that is changed in place is closed if that is cancelled. */
export async function lock(): Promise<void> {
  if (!(await mayLeave())) return
  const [name, isInPlace] = [opened.peek()?.name, inPlace.peek()]
  const locked = await work(unlocking, 'Locking', async (signal) => {
    try {
      showAgain(await engine.lock(signal))
    } catch (error) {
      const failed = `${name} could not be opened again: ${messageOf(error)}`
      if (isInPlace && signal.aborted) await letGo({ tone: 'info', text: `${name} is closed.` })
      else if (isInPlace) await letGo({ tone: 'bad', text: failed })
      throw error
    }
  })
  if (locked) forgetChanges()
}
