/** Leaving what was changed. Nothing that was not saved is lost without a question. */

import { signal } from '@preact/signals'
import { flushChanges, unsaved } from './edit'
import { save } from './save'
import { inPlace } from './stage'

/** The question whether to leave, while it is open. */
export const leaving = signal<{ answer(leave: boolean): void } | null>(null)

/** True if nothing would be lost, or the person lets it go. */
export async function mayLeave(): Promise<boolean> {
  if (!unsaved.peek()) return true
  // The file has the changes already: there is nothing to choose, unless the last of them can't be stored.
  if (inPlace.peek() && (await save())) return true
  leaving.peek()?.answer(false)
  return new Promise((resolve) => {
    const answer = (leave: boolean) => {
      leaving.value = null
      resolve(leave)
    }
    leaving.value = { answer }
  })
}

/** Makes the browser ask before the page is closed. Flushes when it is hidden, for it may never be shown again. */
export function guardPage(): void {
  window.addEventListener('beforeunload', (event) => {
    if (unsaved.peek()) event.preventDefault()
  })
  document.addEventListener('visibilitychange', () => {
    const flushes = document.visibilityState === 'hidden' && inPlace.peek() && unsaved.peek()
    // Where it fails it stays unsaved, and is shown so.
    if (flushes) void flushChanges().catch(() => {})
  })
}
