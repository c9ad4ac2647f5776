import type { PageStorage } from './page-storage.js'
import type { Served } from './rpc/port.js'
import type { PageMethods } from './rpc/protocol.js'

/** What a page does for its worker, on its `objects`, which the worker knows by number. */
export function pageMethods(objects: ReadonlyMap<number, unknown>): Served<PageMethods> {
  const storage = (number: number) => objects.get(number) as PageStorage
  const none = new AbortController().signal
  return {
    invoke: (callback, args) => (objects.get(callback) as (...all: readonly unknown[]) => unknown)(...args),
    openStorage: (number, { signal = none }) => storage(number).open(signal),
    sizeOfStorage: (number) => storage(number).size(),
    readStorage: (number, offset, length, { signal = none }) => storage(number).read(offset, length, signal),
    writeStorage: (number, offset, bytes, { signal = none }) => storage(number).write(offset, bytes, signal),
    truncateStorage: (number, size) => storage(number).truncate(size),
    flushStorage: (number) => storage(number).flush(),
    closeStorage: (number) => storage(number).close(),
  }
}
