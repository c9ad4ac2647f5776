import { Qcow2Error } from '../errors.js'
import type { Unlock } from './lock.js'
import { explain, fileAt, type OpfsPath } from './opfs-path.js'
import { quota, quotaOr } from './quota.js'
import { Shared } from './shared.js'
import type { WritableSyncStorage } from './types.js'

/** How {@link OpfsFile} opens. */
export interface OpfsFileOptions {
  readonly create: boolean
  readonly writable: boolean
}

/** A file of the origin-private file system by its access handle, which dedicated workers alone have. */
export class OpfsFile implements WritableSyncStorage {
  readonly #handle: Shared<AccessHandle>

  /** `lock` is held while it is open. */
  constructor(path: OpfsPath, { create, writable }: OpfsFileOptions, lock?: () => Promise<Unlock>) {
    const name = [...path.directories, path.name].join('/')
    const mode = writable ? 'readwrite' : 'read-only'
    this.#handle = new Shared(
      async () => {
        try {
          const file = (await fileAt(path, create)) as FileSystemFileHandle & AccessHandles
          return await file.createSyncAccessHandle({ mode })
        } catch (error) {
          throw explain(error, name)
        }
      },
      (handle) => handle.close(),
      lock,
    )
  }

  open(): Promise<void> {
    return this.#handle.open()
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
    const count = attempt(offset, () => this.#handle.current.write(bytes, { at: offset }))
    // Where there is no room browsers throw, or answer too small a number, or a negative one without its sign.
    if (count !== bytes.length) throw quota(offset)
  }

  truncateSync(size: number): void {
    attempt(size, () => this.#handle.current.truncate(size))
  }

  flushSync(): void {
    this.#handle.current.flush()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** True where access handles are: in dedicated workers. */
export function hasAccessHandles(): boolean {
  return typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype
}

function attempt<T>(offset: number, call: () => T): T {
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

interface AccessHandle {
  getSize(): number
  read(into: Uint8Array, options: { readonly at: number }): number
  write(bytes: Uint8Array, options: { readonly at: number }): number
  truncate(size: number): void
  flush(): void
  close(): void
}
