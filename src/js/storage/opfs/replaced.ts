import { Qcow2Error } from '../../base/errors.js'
import type { AsyncStorage, WritableAsyncStorage } from '../../base/storage/contract.js'
import { fileHandle } from '../blob/file-handle.js'
import type { Claiming } from '../lock.js'
import { Shared } from '../shared.js'
import type { OpfsFileOptions } from './file.js'
import { fileAt, type OpfsPath } from './path.js'

/**
 * True where there are neither access handles nor workers that could have them, but files can be replaced: in a
 * SharedWorker, in a Service Worker, and in the background of an extension.
 */
export function mustReplace(): boolean {
  const prototype = globalThis.FileSystemFileHandle?.prototype ?? {}
  return typeof Worker !== 'function' && 'createWritable' in prototype
}

/** The file at a path, which each flush replaces: as {@link fileHandle} does, with the file's lock. */
export function replacedOpfs(path: OpfsPath, { create, writable }: OpfsFileOptions, lock: Claiming): AsyncStorage {
  const file = new Shared(
    async (signal) => {
      const handle = await fileAt(path, create)
      const storage: AsyncStorage = writable ? fileHandle(handle, { writable }) : fileHandle(handle)
      await storage.open?.({ signal })
      return storage
    },
    (storage) => storage.close?.(),
    lock,
  )
  const read: AsyncStorage = {
    open: (options) => file.open(options),
    size: () => file.current.size(),
    read: (...request) => file.current.read(...request),
    close: () => file.close(),
  }
  if (!writable) return read
  const current = () => file.current as WritableAsyncStorage
  const write: Omit<WritableAsyncStorage, keyof AsyncStorage> = {
    write: (...request) => current().write(...request),
    truncate: (...request) => current().truncate(...request),
    flush: (...request) => current().flush(...request),
  }
  return { ...read, ...write }
}

/** Writes the chunks of a stream into a new file, which replaces the one at a path once all are there. */
export async function replaceWith(
  path: OpfsPath,
  chunks: ReadableStream<Uint8Array<ArrayBuffer>>,
  lock: Claiming,
  signal: AbortSignal,
): Promise<void> {
  const file = new Shared(async () => (await fileAt(path, true)).createWritable(), undefined, lock)
  await file.open({ signal })
  try {
    await chunks.pipeTo(file.current, { signal })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'QuotaExceededError') {
      throw new Qcow2Error('QUOTA', 'There is no room for the file.', { cause: error })
    }
    throw error
  } finally {
    await file.close()
  }
}
