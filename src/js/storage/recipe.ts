import type { Storage, StorageUser } from '../base/storage/contract.js'

/** What makes storages that can be made again elsewhere. */
export type Maker = 'blob' | 'fileHandle' | 'http' | 'idb' | 'opfs' | 'prefetched' | 'readAhead'

/** How a storage is made, so that a worker can make the same one, over the same file. */
export interface Recipe {
  readonly maker: Maker
  /** What the function takes, where `user` is what the storage is opened for; asked for when a worker is to make it. */
  readonly args: (user?: StorageUser) => readonly unknown[]
  /** What has to be done on the page before it is opened, for writing if it is `writable`, unless `signal` aborts. */
  readonly prepare?: (signal: AbortSignal | undefined, writable: boolean) => Promise<void>
}

const recipes = new WeakMap<Storage, Recipe>()

/** Remembers how `storage` was made, and returns it. */
export function made<S extends Storage>(storage: S, recipe: Recipe): S {
  recipes.set(storage, recipe)
  return storage
}

/** How a storage was made; `undefined` for one that holds bytes itself, or that the caller has made up. */
export function recipeOf(storage: Storage): Recipe | undefined {
  return recipes.get(storage)
}
