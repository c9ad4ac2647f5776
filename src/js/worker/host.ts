import { Qcow2Error } from '../errors.js'
import { OpfsFile } from '../storage/opfs-file.js'
import type { Call, Hello, Methods, Reply } from './protocol.js'

/** The worker's side: answers calls in the order in which they come. */
export function serve(scope: WorkerScope): void {
  const methods = storages()
  scope.addEventListener('message', ({ data }) => {
    if ('alive' in data) hold(data.alive, scope)
    else void answer(methods, data, scope)
  })
}

/** What is used of a dedicated worker's scope; its types don't go together with those of pages. */
export interface WorkerScope {
  addEventListener(type: 'message', listener: (event: { readonly data: Hello | Call }) => void): void
  postMessage(message: Reply, transfer: Transferable[]): void
}

function hold(name: string, scope: WorkerScope): void {
  void navigator.locks.request(name, () => {
    scope.postMessage({ ready: true }, [])
    return new Promise(() => {})
  })
}

async function answer(methods: Methods, { id, method, args }: Call, scope: WorkerScope): Promise<void> {
  try {
    const value = await (methods[method] as (...all: readonly unknown[]) => unknown)(...args)
    scope.postMessage({ id, value }, value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : [])
  } catch (error) {
    scope.postMessage({ id, error }, [])
  }
}

function storages(): Methods {
  const files = new Map<number, OpfsFile>()
  const file = (storage: number): OpfsFile => {
    const found = files.get(storage)
    if (found) return found
    throw new Qcow2Error('CLOSED', 'The storage is not open.')
  }
  return {
    async open(storage, path, options) {
      const opened = new OpfsFile(path, options)
      await opened.open()
      files.set(storage, opened)
    },
    size: (storage) => file(storage).size(),
    read(storage, offset, length) {
      const bytes = new Uint8Array(length)
      file(storage).readSync(offset, bytes)
      return bytes
    },
    write: (storage, offset, bytes) => file(storage).writeSync(offset, bytes),
    truncate: (storage, size) => file(storage).truncateSync(size),
    flush: (storage) => file(storage).flushSync(),
    async close(storage) {
      const closing = file(storage)
      files.delete(storage)
      await closing.close()
    },
  }
}
