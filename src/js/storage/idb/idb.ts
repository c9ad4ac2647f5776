import { integer, text } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import type { WritableAsyncStorage } from '../../base/storage/contract.js'
import { Buffered, chunkSize } from '../buffered.js'
import { type ClaimOptions, claimFor, claimIn, lock } from '../lock.js'
import { made } from '../recipe.js'
import { names } from './names.js'
import { deleteFile, IdbStore } from './store.js'

/** How {@link idb} opens a file. */
export interface IdbOptions extends ClaimOptions {
  /** The most that is kept in memory before it is flushed, in bytes. More is flushed automatically. Default: 64 MiB. */
  readonly budget?: number | undefined
}

/** Files in IndexedDB: for where the origin-private file system is missing, as in private windows of Safari. */
export interface Idb {
  /**
   * A file in IndexedDB, which can be written; it is made if it isn't there. What is written is kept in memory until it is
   * flushed, in one transaction: a flush is all or nothing. A storage that is open for writing has the file alone;
   * several may read it at one time. Otherwise opening fails with code `IN_USE`.
   *
   * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `name` is none, or if there is no IndexedDB here.
   */
  (name: string, options?: IdbOptions): WritableAsyncStorage
  /** The names of the files. */
  list(): Promise<string[]>
  /**
   * Deletes a file; one that isn't there is no error.
   *
   * @throws {@link Qcow2Error} `IN_USE` if the file is open, here or in another tab or worker. Without Web Locks (without HTTPS)
   * the browser then deletes it as soon as it is closed.
   */
  delete(name: string): Promise<void>
}

/**
 * Files in IndexedDB; see {@link Idb}.
 *
 * @example
 * ```ts
 * const image = await Qcow2.create(idb('disk.qcow2'), { size: 1024 ** 3 })
 * await image.close()
 * console.log(await idb.list())
 * ```
 */
export const idb: Idb = /* @__PURE__ */ Object.assign(
  (name: string, options: IdbOptions = {}): WritableAsyncStorage => {
    if (typeof name !== 'string' || name === '') throw invalidArgument('idb() takes the name of a file.')
    const claim = claimIn(options)
    const budget = integer(options.budget ?? 64 * 1024 * 1024, 'budget', chunkSize)
    const storage = new Buffered(new IdbStore(database(), name), budget, (opening, user, writable) =>
      lock('idb', name, !writable, claim, opening, user),
    )
    return made(storage, { maker: 'idb', args: (user) => [name, { budget, ...claimFor(claim, user) }] })
  },
  {
    list: async (): Promise<string[]> => names(database()),
    async delete(name: string): Promise<void> {
      text(name, 'The name')
      const factory = database()
      const unlock = await lock('idb', name, false, {}, new AbortController().signal)
      try {
        await deleteFile(factory, name)
      } finally {
        await unlock()
      }
    },
  },
)

function database(): IDBFactory {
  if (typeof indexedDB === 'object') return indexedDB
  throw invalidArgument('There is no IndexedDB here.')
}
