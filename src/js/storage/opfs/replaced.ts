import { Qcow2Error } from '../../base/errors.js'
import type { WritableAsyncStorage } from '../../base/storage/contract.js'
import { fileHandle } from '../blob/file-handle.js'
import type { Claiming } from '../held-lock.js'
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
export function replacedOpfs(path: OpfsPath, { create }: OpfsFileOptions, lock: Claiming): WritableAsyncStorage {
  const file = new Shared(
    async (signal, writable) => {
      const storage = fileHandle(await fileAt(path, create && writable))
      await storage.open?.({ signal, writable })
      return storage
    },
    (storage) => storage.close?.(),
    lock,
  )
  return {
    open: (options) => file.open(options),
    size: () => file.current.size(),
    read: (...request) => file.current.read(...request),
    write: (...request) => file.writable.write(...request),
    truncate: (...request) => file.writable.truncate(...request),
    flush: () => file.writable.flush(),
    close: () => file.close(),
  }
}

/** Writes the chunks of a stream into a new file, which replaces the one at a path once all are there. */
export async function replaceWith(
  path: OpfsPath,
  chunks: ReadableStream<Uint8Array<ArrayBuffer>>,
  lock: Claiming,
  signal: AbortSignal,
): Promise<void> {
  const file = new Shared(async () => (await fileAt(path, true)).createWritable(), undefined, lock)
  await file.open({ signal, writable: true })
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
