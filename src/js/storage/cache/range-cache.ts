import { Qcow2Error } from '../../base/errors.js'
import { done, request } from '../idb/requests.js'

/** Files are kept in blocks of this many bytes, the last one shorter. */
export const blockSize = 256 * 1024

/** A file in one state: nothing of it is ever mixed with another state of it. */
export interface CachedFile {
  /** Where it is. */
  readonly url: string
  /** What changes with every change of its bytes. */
  readonly validator: string
}

/** What is kept of a file. */
export interface KeptFile {
  /** Its address, without a fragment. */
  readonly url: string
  /** How much is kept of it in bytes, in whole blocks of 256 KiB. */
  readonly size: number
}

/** Where a block is in the database: by file, state and number. */
type Key = [url: string, validator: string, number: number]

/**
 * Blocks of a file in IndexedDB, beside those of other files; all within a budget, which the latest user sets. In the
 * database: `blocks`, and when each was used last, `uses`.
 *
 * What fails is as if it were not there: it is a cache.
 */
export class RangeCache {
  readonly #database: IDBDatabase
  readonly #file: CachedFile
  readonly #most: number
  /** Blocks that were used, and are not noted as such. */
  readonly #used = new Set<number>()
  /** The last of the changes, which are made one after another. */
  #last: Promise<void> = Promise.resolve()

  private constructor(database: IDBDatabase, file: CachedFile, most: number) {
    this.#database = database
    this.#file = file
    this.#most = most
  }

  /** The cache for a file, which forgets all other states of it; `undefined` where there is no IndexedDB. `budget` is in bytes. */
  static async open(file: CachedFile, budget: number): Promise<RangeCache | undefined> {
    try {
      const cache = new RangeCache(await openDatabase(), file, Math.floor(budget / blockSize))
      cache.#change(({ blocks, uses }) => {
        for (const others of otherStates(file)) {
          blocks.delete(others)
          uses.delete(others)
        }
      })
      return cache
    } catch {
      return undefined
    }
  }

  /** The blocks `first` to `last` that are here, by number. */
  async blocks(first: number, last: number): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>()
    try {
      const blocks = this.#database.transaction('blocks').objectStore('blocks')
      const range = IDBKeyRange.bound(this.#key(first), this.#key(last))
      const [keys, values] = await Promise.all([request(blocks.getAllKeys(range)), request(blocks.getAll(range))])
      for (const [index, key] of keys.entries()) {
        const [, , number] = key as Key
        found.set(number, values[index] as Uint8Array)
        this.#used.add(number)
      }
    } catch {
      // They are asked for elsewhere.
    }
    return found
  }

  /** Keeps blocks, in the background, and forgets those that were not used for the longest time. */
  keep(blocks: ReadonlyMap<number, Uint8Array>): void {
    this.#change(({ blocks: store, uses }) => {
      for (const [number, bytes] of blocks) {
        store.put(bytes, this.#key(number))
        this.#used.add(number)
      }
      this.#noteUse(store, uses)
      const counting = store.count()
      counting.onsuccess = () => this.#evict(store, uses, counting.result - this.#most)
    })
  }

  /** Closes it when all is kept. */
  async close(): Promise<void> {
    if (this.#used.size > 0) this.#change(({ blocks, uses }) => this.#noteUse(blocks, uses))
    await this.#last
    this.#database.close()
  }

  #noteUse(blocks: IDBObjectStore, uses: IDBObjectStore): void {
    for (const number of this.#used) {
      const key = this.#key(number)
      const looking = blocks.getKey(key)
      looking.onsuccess = () => {
        // It may have been forgotten since it was read.
        if (looking.result !== undefined) uses.put({ time: Date.now() }, key)
      }
    }
    this.#used.clear()
  }

  #evict(blocks: IDBObjectStore, uses: IDBObjectStore, count: number): void {
    if (count <= 0) return
    let left = count
    const oldest = uses.index('time').openKeyCursor()
    oldest.onsuccess = () => {
      const cursor = oldest.result
      if (!cursor || left === 0) return
      blocks.delete(cursor.primaryKey)
      uses.delete(cursor.primaryKey)
      left -= 1
      cursor.continue()
    }
  }

  /** Makes a change after those before it. */
  #change(make: (stores: { readonly blocks: IDBObjectStore; readonly uses: IDBObjectStore }) => void): void {
    this.#last = this.#last.then(
      () =>
        new Promise((resolve) => {
          try {
            const transaction = this.#database.transaction(['blocks', 'uses'], 'readwrite')
            transaction.oncomplete = () => resolve()
            // Most likely there is no room.
            transaction.onabort = () => resolve()
            make({ blocks: transaction.objectStore('blocks'), uses: transaction.objectStore('uses') })
          } catch {
            resolve()
          }
        }),
    )
  }

  #key(number: number): Key {
    return [this.#file.url, this.#file.validator, number]
  }
}

/** The address by which a file is kept: without what no server sees. */
export function addressOf(url: string | URL): string {
  const address = new URL(url, globalThis.location?.href)
  address.hash = ''
  return address.href
}

/** The kept ranges of each file, by address. */
export async function keptFiles(): Promise<KeptFile[]> {
  const sizes = new Map<string, number>()
  await withDatabase(async (database) => {
    const keys = await request(database.transaction('blocks').objectStore('blocks').getAllKeys())
    for (const [url] of keys as Key[]) sizes.set(url, (sizes.get(url) ?? 0) + blockSize)
  })
  return Array.from(sizes, ([url, size]) => ({ url, size }))
}

/** Forgets what is kept of a file, or of all. Images that are open go on, and keep anew what they fetch. */
export async function forgetFiles(url: string | undefined): Promise<void> {
  await withDatabase(async (database) => {
    const transaction = database.transaction(['blocks', 'uses'], 'readwrite')
    for (const store of ['blocks', 'uses'].map((each) => transaction.objectStore(each))) {
      if (url === undefined) store.clear()
      else store.delete(IDBKeyRange.bound([url], [url, []]))
    }
    await done(transaction)
  })
}

/** Not one of those that `idb` lists. */
const name = 'qcow2-web ranges'

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(name, 1)
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore('blocks')
    opening.result.createObjectStore('uses').createIndex('time', 'time')
  }
  return request(opening)
}

/** Nothing is kept, and nothing done, where there is no IndexedDB. */
async function withDatabase(use: (database: IDBDatabase) => Promise<void>): Promise<void> {
  if (typeof indexedDB !== 'object') return
  try {
    const database = await openDatabase()
    await use(database).finally(() => database.close())
  } catch (cause) {
    throw new Qcow2Error('STORAGE', `What was kept of files on servers is out of reach: ${String(cause)}.`, { cause })
  }
}

/** The keys of all states of a file but one; an array sorts after all texts and numbers. */
function otherStates({ url, validator }: CachedFile): IDBKeyRange[] {
  return [IDBKeyRange.bound([url], [url, validator], false, true), IDBKeyRange.bound([url, validator, []], [url, []])]
}
