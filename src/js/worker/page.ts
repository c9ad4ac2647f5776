import { ask, isSync, type Storage, type WritableAsyncStorage, type WritableSyncStorage } from '../storage/types.js'
import { moved, type Served } from './port.js'
import type { PageMethods } from './protocol.js'

/** What a page does for its worker, with what it has `lent` by number. */
export function pageMethods(lent: ReadonlyMap<number, unknown>): Served<PageMethods> {
  const storage = (number: number) => lent.get(number) as Storage
  /** Where the storage isn't writable, the worker calls none of the methods for it. */
  const sync = (number: number) => lent.get(number) as WritableSyncStorage
  const async = (number: number) => lent.get(number) as WritableAsyncStorage
  return {
    invoke: (callback, args) => (lent.get(callback) as (...all: readonly unknown[]) => unknown)(...args),
    openStorage: (number) => storage(number).open?.(),
    sizeOfStorage: (number) => storage(number).size(),
    async readStorage(number, offset, length, { signal = new AbortController().signal }) {
      const from = storage(number)
      // Not moved: it may be the storage's own array.
      if (!isSync(from)) return ask(from, offset, length, { signal })
      const bytes = new Uint8Array(length)
      from.readSync(offset, bytes)
      return moved(bytes)
    },
    writeStorage: (number, offset, bytes, { signal = new AbortController().signal }) =>
      isSync(storage(number)) ? sync(number).writeSync(offset, bytes) : async(number).write(offset, bytes, { signal }),
    truncateStorage: (number, size) =>
      isSync(storage(number)) ? sync(number).truncateSync(size) : async(number).truncate(size),
    flushStorage: (number) => (isSync(storage(number)) ? sync(number).flushSync() : async(number).flush()),
    closeStorage: (number) => storage(number).close?.(),
  }
}
