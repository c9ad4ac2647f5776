import type { AsyncStorage, WritableAsyncStorage } from '../storage/contract.js'
import type { Port } from './rpc/port.js'
import type { PageMethods } from './rpc/protocol.js'

/** A storage that stayed on the page, for the engine in the worker. */
export function remoteStorage(page: Port<PageMethods>, number: number, writable: boolean): AsyncStorage {
  return writable ? { ...reader(page, number), ...writer(page, number) } : reader(page, number)
}

function reader(page: Port<PageMethods>, number: number): AsyncStorage {
  return {
    open: (options) => page.call('openStorage', [number], { signal: options?.signal }),
    size: () => page.call('sizeOfStorage', [number]),
    read: (offset, length, { signal }) => page.call('readStorage', [number, offset, length], { signal }),
    close: () => page.call('closeStorage', [number]),
  }
}

function writer(page: Port<PageMethods>, number: number): Pick<WritableAsyncStorage, 'write' | 'truncate' | 'flush'> {
  return {
    write(offset, bytes, { signal }) {
      const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
      // An aborted write has to settle only when it is over.
      const options = { signal, transfer: [own.buffer], patient: true }
      return page.call('writeStorage', [number, offset, own], options)
    },
    truncate: (size) => page.call('truncateStorage', [number, size]),
    flush: () => page.call('flushStorage', [number]),
  }
}
