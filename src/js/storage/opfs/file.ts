import { Qcow2Error } from '../../base/errors.js'
import type { StorageOpenOptions, WritableSyncStorage } from '../../base/storage/contract.js'
import { syncBlob } from '../blob/blob.js'
import type { Claiming } from '../held-lock.js'
import { quota, quotaOr } from '../quota.js'
import { Shared } from '../shared.js'
import { fileAt, inUseOr, isInUse, type OpfsPath } from './path.js'

/** How {@link OpfsFile} opens. */
export interface OpfsFileOptions {
  /** Make the file where there is none, if it is opened for writing. */
  readonly create: boolean
}

/** A file of the origin-private file system by its access handle, which dedicated workers alone have. */
export class OpfsFile implements WritableSyncStorage {
  readonly #handle: Shared<ReadHandle>

  /** `lock` is held while it is open. */
  constructor(path: OpfsPath, { create }: OpfsFileOptions, lock?: Claiming) {
    const name = [...path.directories, path.name].join('/')
    this.#handle = new Shared(
      async (_, writable) => {
        try {
          const file = (await fileAt(path, create && writable)) as FileSystemFileHandle & AccessHandles
          return await (writable ? file.createSyncAccessHandle({ mode: 'readwrite' }) : readHandle(file))
        } catch (error) {
          throw inUseOr(error, name)
        }
      },
      (handle) => handle.close(),
      lock,
    )
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#handle.open(options)
  }

  size(): number {
    return this.#handle.current.getSize()
  }

  readSync(offset: number, into: Uint8Array): void {
    const count = this.#handle.current.read(into, { at: offset })
    if (count === into.length) return
    throw new Qcow2Error('FILE_CHANGED', 'The file is shorter than it was when it was opened.', { offset })
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    const count = orQuota(offset, () => this.#writable.write(bytes, { at: offset }))
    // Where there is no room browsers throw, or answer too small a number, or a negative one without its sign.
    if (count !== bytes.length) throw quota(offset)
  }

  truncateSync(size: number): void {
    orQuota(size, () => this.#writable.truncate(size))
  }

  flushSync(): void {
    this.#writable.flush()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  get #writable(): AccessHandle {
    return this.#handle.writable as AccessHandle
  }
}

/** True where access handles are: in dedicated workers. */
export function hasAccessHandles(): boolean {
  return typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype
}

/** A handle to read with, beside other readers. */
async function readHandle(file: FileSystemFileHandle & AccessHandles): Promise<ReadHandle> {
  try {
    return await file.createSyncAccessHandle({ mode: 'read-only' })
  } catch (error) {
    // Browsers without modes give the handle to the first reader alone. The lock ensures that there is no writer.
    if (!isInUse(error) || hasModes()) throw error
    return sliced(await file.getFile())
  }
}

function hasModes(): boolean {
  const { FileSystemSyncAccessHandle } = globalThis as { FileSystemSyncAccessHandle?: { readonly prototype: object } }
  return 'mode' in (FileSystemSyncAccessHandle?.prototype ?? {})
}

function sliced(file: File): ReadHandle {
  const { readSync } = syncBlob(file)
  return {
    getSize: () => file.size,
    read(into, { at }) {
      const part = into.subarray(0, Math.max(0, file.size - at))
      readSync(at, part)
      return part.length
    },
    close() {},
  }
}

function orQuota<T>(offset: number, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw quotaOr(error, offset)
  }
}

/** Only in the types of workers, which don't go together with those of pages. */
interface AccessHandles {
  createSyncAccessHandle(options: { readonly mode: 'readwrite' | 'read-only' }): Promise<AccessHandle>
}

interface ReadHandle {
  getSize(): number
  read(into: Uint8Array, options: { readonly at: number }): number
  close(): void
}

interface AccessHandle extends ReadHandle {
  write(bytes: Uint8Array, options: { readonly at: number }): number
  truncate(size: number): void
  flush(): void
}
