import { Qcow2Error } from '../../base/errors.js'
import {
  type AsyncStorage,
  ask,
  isSync,
  type Storage,
  type StorageUser,
  type WritableAsyncStorage,
  type WritableSyncStorage,
} from '../../base/storage/contract.js'
import { Moved, moved, type Port, type Served } from './port.js'

/**
 * What one side may ask of a storage that the other side has. The page numbers the storages, wherever they are: those that
 * stay on the page, and the files that the worker opens for it.
 */
export interface StorageMethods {
  openStorage(storage: number, writable: boolean): void
  sizeOfStorage(storage: number): number
  readStorage(storage: number, offset: number, length: number): Uint8Array
  /** As the next two, only of a storage that is writable. */
  writeStorage(storage: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void
  truncateStorage(storage: number, size: number): void
  flushStorage(storage: number): void
  closeStorage(storage: number): void
}

/** The storages that this side serves to the other side, by number. */
export class StorageTable {
  readonly #storages = new Map<number, ServedStorage>()

  /** Serves a storage from now on; `user` is what it is opened for, where this side knows that. */
  add(number: number, storage: Storage, user?: StorageUser): void {
    this.#storages.set(number, new ServedStorage(storage, user))
  }

  /** Serves a storage no longer, and closes it if the other side left it open. */
  async remove(number: number): Promise<void> {
    const removed = this.#storages.get(number)
    this.#storages.delete(number)
    await removed?.end()
  }

  /** What the other side may call. */
  readonly methods: Served<StorageMethods> = {
    openStorage: (number, writable, { signal = neverAborts() }) => this.#get(number).open(signal, writable),
    sizeOfStorage: (number) => this.#get(number).size(),
    readStorage: (number, offset, length, { signal = neverAborts() }) => this.#get(number).read(offset, length, signal),
    writeStorage: (number, offset, bytes, { signal = neverAborts() }) => this.#get(number).write(offset, bytes, signal),
    truncateStorage: (number, size) => this.#get(number).truncate(size),
    flushStorage: (number) => this.#get(number).flush(),
    closeStorage: (number) => this.#get(number).close(),
  }

  #get(number: number): ServedStorage {
    const found = this.#storages.get(number)
    if (found) return found
    throw new Qcow2Error('CLOSED', 'The storage is not open.')
  }
}

/** A signal that never aborts; made where it is needed, because not every program that imports this has `AbortController`. */
const neverAborts = (): AbortSignal => new AbortController().signal

class ServedStorage {
  readonly #storage: Storage
  readonly #user: StorageUser | undefined
  #opened = 0
  #ended = false

  constructor(storage: Storage, user: StorageUser | undefined) {
    this.#storage = storage
    this.#user = user
  }

  async open(signal: AbortSignal, writable: boolean): Promise<void> {
    await this.#storage.open?.({ signal, user: this.#user, writable })
    this.#opened += 1
    // It is no longer needed.
    if (this.#ended) await this.close()
  }

  size(): number | Promise<number> {
    return this.#storage.size()
  }

  read(offset: number, length: number, signal: AbortSignal): Moved<Uint8Array> | Promise<Moved<Uint8Array>> {
    if (!isSync(this.#storage)) return this.#readAsync(this.#storage, offset, length, signal)
    const bytes = new Uint8Array(length)
    this.#storage.readSync(offset, bytes)
    return moved(bytes)
  }

  async write(offset: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).writeSync(offset, bytes)
    else await (this.#storage as WritableAsyncStorage).write(offset, bytes, { signal })
  }

  async truncate(size: number): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).truncateSync(size)
    else await (this.#storage as WritableAsyncStorage).truncate(size)
  }

  async flush(): Promise<void> {
    if (isSync(this.#storage)) (this.#storage as WritableSyncStorage).flushSync()
    else await (this.#storage as WritableAsyncStorage).flush()
  }

  async close(): Promise<void> {
    this.#opened -= 1
    await this.#storage.close?.()
  }

  async end(): Promise<void> {
    this.#ended = true
    while (this.#opened > 0) await this.close().catch(() => {})
  }

  async #readAsync(storage: AsyncStorage, offset: number, length: number, signal: AbortSignal) {
    const bytes = await ask(storage, offset, length, { signal })
    // A copy, because it may be a part of an array that the storage keeps. The engine refuses what is no array.
    return bytes instanceof Uint8Array ? moved(new Uint8Array(bytes)) : new Moved(bytes, [])
  }
}

/** A storage of the other side, as a storage of this side. */
export function remoteStorage(port: Port<StorageMethods>, number: number, writable: true): WritableAsyncStorage
export function remoteStorage(port: Port<StorageMethods>, number: number, writable: boolean): AsyncStorage
export function remoteStorage(port: Port<StorageMethods>, number: number, writable: boolean): AsyncStorage {
  return writable ? { ...reader(port, number), ...writer(port, number) } : reader(port, number)
}

function reader(port: Port<StorageMethods>, number: number): AsyncStorage {
  return {
    open: ({ signal, writable = false } = {}) => port.call('openStorage', [number, writable], { signal }),
    size: () => port.call('sizeOfStorage', [number]),
    read: (offset, length, { signal }) => port.call('readStorage', [number, offset, length], { signal }),
    close: () => port.call('closeStorage', [number]),
  }
}

function writer(
  port: Port<StorageMethods>,
  number: number,
): Pick<WritableAsyncStorage, 'write' | 'truncate' | 'flush'> {
  return {
    write(offset, bytes, { signal }) {
      const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
      // The contract of storages: an aborted write has to settle, but only when it is over.
      const options = { signal, transfer: [own.buffer], patient: true }
      return port.call('writeStorage', [number, offset, own], options)
    },
    truncate: (size) => port.call('truncateStorage', [number, size]),
    flush: () => port.call('flushStorage', [number]),
  }
}
