import type { Storage, WritableStorage } from '../base/storage/contract.js'

/** A file that is written beside another one, and replaces it when it is whole. */
export interface Replacement {
  /** The new file. */
  readonly storage: WritableStorage
  /** Replaces the old file, which nothing has open, by the new one. */
  commit(): Promise<void>
  /** Deletes the new file. */
  discard(): Promise<void>
}

/** Begins a replacement. Resolves with `undefined` if there is no old file, or an empty one. */
type Begin = () => Promise<Replacement | undefined>

const beginnings = new WeakMap<Storage, Begin>()

/** Remembers how the file of `storage` is replaced, and returns `storage`. */
export function replaceable<S extends Storage>(storage: S, begin: Begin): S {
  beginnings.set(storage, begin)
  return storage
}

/** Begins to replace the file of a storage. Resolves with `undefined` if it has to be overwritten in place. */
export async function replacementOf(storage: Storage): Promise<Replacement | undefined> {
  return beginnings.get(storage)?.()
}

/** The name of a new file beside one of this name, which no other program is likely to choose. */
export function nameBeside(name: string): string {
  const random = crypto.getRandomValues(new Uint32Array(2))
  return `${name}.${[...random].map((each) => each.toString(36)).join('')}.part`
}
