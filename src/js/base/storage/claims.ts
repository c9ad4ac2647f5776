import { Qcow2Error } from '../errors.js'
import type { Storage } from './contract.js'

/** What a storage, or a file, is opened for. */
export type Use = 'read' | 'write'

/** How many read each of some things now; -1 where one writes to it. */
interface Users<T> {
  get(thing: T): number | undefined
  set(thing: T, count: number): unknown
  delete(thing: T): unknown
}

const storages: Users<Storage> = new WeakMap()
/** By what identifies a file of the file system. */
const files: Users<string> = new Map()

/**
 * Takes a storage for an image, until `disclaim`. A storage that is written has one user: two images that use one file, and
 * write to it, would corrupt each other.
 */
export function claim(storage: Storage, use: Use): void {
  if (take(storages, storage, use)) return
  throw new Qcow2Error(
    'IN_USE',
    'The storage belongs to another open image, and one that is written can have only one.',
  )
}

/** Gives it back. */
export function disclaim(storage: Storage): void {
  giveBack(storages, storage)
}

/** As `claim`, for a file that several storages may be of; false if it is another's. */
export function claimFile(file: string, use: Use): boolean {
  return take(files, file, use)
}

/** Gives it back. */
export function disclaimFile(file: string): void {
  giveBack(files, file)
}

function take<T>(users: Users<T>, thing: T, use: Use): boolean {
  const count = users.get(thing) ?? 0
  if (use === 'write' ? count !== 0 : count < 0) return false
  users.set(thing, use === 'write' ? -1 : count + 1)
  return true
}

function giveBack<T>(users: Users<T>, thing: T): void {
  const count = users.get(thing) ?? 0
  if (count > 1) users.set(thing, count - 1)
  else users.delete(thing)
}
