import { unlessAborted } from '../../base/abort.js'
import { invalidArgument } from '../../base/errors.js'
import type { StorageOpenOptions, WritableAsyncStorage } from '../../base/storage/contract.js'
import { Client } from '../../worker/rpc/client.js'
import { remoteStorage, type StorageMethods } from '../../worker/rpc/storages.js'
import type { Claiming } from '../held-lock.js'
import { Shared } from '../shared.js'
import type { OpfsFileOptions } from './file.js'
import type { OpfsPath } from './path.js'

/** What a page may ask of a worker concerning files of the origin-private file system. */
export interface OpfsMethods extends StorageMethods {
  /** Serves a file as a storage under a number that the page chooses. */
  addFile(storage: number, path: OpfsPath, options: OpfsFileOptions): void
  /** Serves it no longer. */
  removeFile(storage: number): void
}

const noWorkers = [
  'opfs() needs a worker, or files that can be replaced, and this browser has neither here.',
  'http(), blob(), idb(), fileHandle() and memory() work there; to read a file of OPFS, use blob(await opfs.file(path)).',
].join(' ')

interface OpenFile {
  readonly client: Client<OpfsMethods>
  readonly number: number
  readonly storage: WritableAsyncStorage
}

/** A file of the origin-private file system, through its access handle in the package's own worker. */
export class RemoteOpfsFile implements WritableAsyncStorage {
  readonly #file: Shared<OpenFile>

  /** Holds `lock` while it is open. */
  constructor(path: OpfsPath, options: OpfsFileOptions, lock: Claiming) {
    this.#file = new Shared((signal, writable) => openFile(path, options, signal, writable), closeFile, lock)
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#file.open(options)
  }

  size(): number | Promise<number> {
    return this.#file.current.storage.size()
  }

  async read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    return this.#file.current.storage.read(offset, length, options)
  }

  async write(
    offset: number,
    bytes: Uint8Array<ArrayBuffer>,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#file.writable.storage.write(offset, bytes, options)
  }

  async truncate(size: number): Promise<void> {
    await this.#file.writable.storage.truncate(size)
  }

  async flush(): Promise<void> {
    await this.#file.writable.storage.flush()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function openFile(
  path: OpfsPath,
  options: OpfsFileOptions,
  signal: AbortSignal,
  writable: boolean,
): Promise<OpenFile> {
  if (typeof Worker !== 'function') throw invalidArgument(noWorkers)
  const client = Client.acquire<OpfsMethods>()
  const number = client.number()
  try {
    await unlessAborted(client.begun, signal)
    await client.port.call('addFile', [number, path, options])
    const storage = remoteStorage(client.port, number, true)
    await storage.open?.({ signal, writable })
    return { client, number, storage }
  } catch (error) {
    // The worker may be about to open it.
    client.port.call('removeFile', [number]).catch(() => {})
    client.release()
    throw error
  }
}

async function closeFile({ client, number, storage }: OpenFile): Promise<void> {
  try {
    // A worker that is gone has closed its access handles.
    if (client.port.ended) return
    await storage.close?.()
    await client.port.call('removeFile', [number])
  } finally {
    client.release()
  }
}
