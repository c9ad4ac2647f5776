import type { LentStorage } from './lent-storage.js'
import type { Served } from './port.js'
import type { PageMethods } from './protocol.js'

/** What a page does for its worker, with what it has `lent` by number. */
export function pageMethods(lent: ReadonlyMap<number, unknown>): Served<PageMethods> {
  const storage = (number: number) => lent.get(number) as LentStorage
  const none = new AbortController().signal
  return {
    invoke: (callback, args) => (lent.get(callback) as (...all: readonly unknown[]) => unknown)(...args),
    openStorage: (number, { signal = none }) => storage(number).open(signal),
    sizeOfStorage: (number) => storage(number).size(),
    readStorage: (number, offset, length, { signal = none }) => storage(number).read(offset, length, signal),
    writeStorage: (number, offset, bytes, { signal = none }) => storage(number).write(offset, bytes, signal),
    truncateStorage: (number, size) => storage(number).truncate(size),
    flushStorage: (number) => storage(number).flush(),
    closeStorage: (number) => storage(number).close(),
  }
}
