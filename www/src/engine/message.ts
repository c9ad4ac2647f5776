/** Messages of errors for people, and what to do about them. */

import { isQcow2Error } from 'qcow2-web'

const NO_ROOM = 'Make some: delete files that this page keeps and you no longer need, or others on this device.'
const IN_USE = 'Another tab is changing the file: lock the image there, or close it.'

/** What replaces the message of the engine. */
const INSTEAD: Record<string, string> = { IN_USE, NoModificationAllowedError: IN_USE }

/** What follows the message. */
const ADVICE: Record<string, string> = {
  QUOTA: NO_ROOM,
  QuotaExceededError: NO_ROOM,
  POISONED: 'Lock the image, and unlock it again: what was saved before is there.',
}

/** The message of an error for people. An error of the engine has more than that in its own message. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const [name, reason] = isQcow2Error(error) ? [error.code, error.reason] : [error.name, error.message]
  return INSTEAD[name] ?? [reason, ADVICE[name]].filter(Boolean).join(' ')
}
