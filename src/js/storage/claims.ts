import { Qcow2Error } from '../errors.js'
import type { Storage } from './types.js'

/** What a storage is opened for. */
export type Use = 'read' | 'write'

/** How many images read a storage now; -1 where one writes to it. */
const users = new WeakMap<Storage, number>()

/**
 * Takes a storage for an image, until `disclaim`. One that is written is nobody else's: of two images that write to one
 * file, or of which one writes, none would be left whole.
 */
export function claim(storage: Storage, use: Use): void {
  const count = users.get(storage) ?? 0
  if (use === 'write' ? count !== 0 : count < 0) {
    throw new Qcow2Error(
      'IN_USE',
      'The storage belongs to another open image, and one that is written can have only one.',
    )
  }
  users.set(storage, use === 'write' ? -1 : count + 1)
}

/** Gives it back. */
export function disclaim(storage: Storage): void {
  const count = users.get(storage) ?? 0
  users.set(storage, count < 0 ? 0 : count - 1)
}
