import type { Abortable } from '../abort.js'
import { show } from '../arguments.js'
import { attempt } from '../attempt.js'
import { invalidArgument, Qcow2Error } from '../errors.js'

/** What a storage is opened with. */
export interface StorageOpenOptions {
  /**
   * Aborts when the image is not wanted any more that the storage is opened for. Then opening rejects as soon as it can, and
   * nothing is left open; or it goes on, and `close` is called when the storage is ready.
   */
  readonly signal?: AbortSignal | undefined
  /** The image that the storage is opened for, for a storage that may have to ask for its closing: see {@link ClaimOptions}. */
  readonly user?: StorageUser | undefined
  /**
   * Whether the storage is written before it is closed. Where this is false, it is only read, so it can be shared with other
   * readers, and a missing file is not made. Default: false.
   */
  readonly writable?: boolean | undefined
}

/** The image, or another disk, that a storage is opened for. */
export interface StorageUser {
  /** True when it is closed, with all of its storages. */
  readonly closed: boolean
  /**
   * Closes it, with its snapshots that are open, so that what was written is durable. Where it is still being opened, that is given
   * up, and rejects with code `IN_USE`. Resolves when its storages are closed.
   *
   * @throws what its `close` rejects with.
   */
  close(): Promise<void>
}

/**
 * Bytes that can be read without waiting: memory, an OPFS access handle, a file read synchronously.
 *
 * Over such a storage every call of the engine completes without waiting, and `readSync` works.
 */
export interface SyncStorage {
  /** Makes the storage ready; awaited before anything else is asked of it, once for each image that it is given to. */
  open?(options?: StorageOpenOptions): void | Promise<void>
  /** The length in bytes. */
  size(): number
  /**
   * Fills `into` with the bytes at `offset`, all of it or an exception; past the end is an exception.
   *
   * `into` is a view on the memory of WebAssembly, or on an array of the caller's, valid only during the call: write
   * to it, don't keep it, and call no method of an image meanwhile.
   */
  readSync(offset: number, into: Uint8Array): void
  /**
   * Names the file and the state that it is in, once it is open: `name#size=…`, and what else of it changes with its
   * bytes, as a query. {@link overlay} records it.
   */
  identity?(): string | undefined
  /**
   * Returns how many bytes the file takes where it is stored: less than its length if it has holes. Only for storages that know;
   * {@link ImageInfo.allocatedSize} reports it.
   */
  allocatedSize?(): number | Promise<number>
  /** Releases what `open` took; called once for each `open`. */
  close?(): void | Promise<void>
}

/** Bytes that arrive later: those of a `Blob` or a server. Requests overlap; a storage need not keep their order. */
export interface AsyncStorage {
  /** Makes the storage ready; awaited before anything else is asked of it, once for each image that it is given to. */
  open?(options?: StorageOpenOptions): void | Promise<void>
  /** The length in bytes. */
  size(): number | Promise<number>
  /**
   * Resolves with exactly the `length` bytes at `offset`, or rejects; past the end is a rejection. The caller doesn't
   * change the array that it gets.
   *
   * `signal` aborts when the answer is no longer needed: then any answer does.
   */
  read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array>
  /**
   * Names the file and the state that it is in, once it is open: `name#size=…`, and what else of it changes with its
   * bytes, as a query. {@link overlay} records it.
   */
  identity?(): string | undefined
  /**
   * Returns how many bytes the file takes where it is stored: less than its length if it has holes. Only for storages that know;
   * {@link ImageInfo.allocatedSize} reports it.
   */
  allocatedSize?(): number | Promise<number>
  /** Releases what `open` took; called once for each `open`. */
  close?(): void | Promise<void>
}

/** A synchronous storage that can be written. */
export interface WritableSyncStorage extends SyncStorage {
  /** The length in bytes, now. */
  size(): number
  /**
   * Puts `bytes` at `offset`, all of them or an exception. Past the end the storage grows, and the range from the
   * old end to `offset` reads as zeros.
   *
   * `bytes` is a view on the memory of WebAssembly, or an array of the caller's, valid only during the call: don't change it,
   * don't keep it, and call no method of an image meanwhile.
   */
  writeSync(offset: number, bytes: Uint8Array): void
  /** Makes the storage `size` bytes long: cuts it, or lets it grow with zeros. */
  truncateSync(size: number): void
  /** Returns when all that was written before is durable, as far as the storage knows. */
  flushSync(): void
}

/**
 * An asynchronous storage that can be written. Several writes may be under way at one time; they never touch the same bytes,
 * unless requests to the image did.
 *
 * A write whose `signal` aborts may be carried out nevertheless, in full, in part or not at all, but only until its promise
 * settles: so it has to settle. Later writes to the same bytes, and flushes, wait for that.
 */
export interface WritableAsyncStorage extends AsyncStorage {
  /** The length in bytes, now. */
  size(): number | Promise<number>
  /**
   * Puts `bytes` at `offset`, all of them or a rejection. Past the end the storage grows, and the range from the old
   * end to `offset` reads as zeros.
   *
   * `bytes` belongs to the storage: the caller does not change the array, so the storage may keep or transfer it.
   */
  write(offset: number, bytes: Uint8Array<ArrayBuffer>, options: { readonly signal: AbortSignal }): Promise<void>
  /** Makes the storage `size` bytes long: cuts it, or lets it grow with zeros. */
  truncate(size: number): Promise<void>
  /** Resolves when all that was written before is durable, as far as the storage knows. */
  flush(): Promise<void>
}

/** Where the bytes of an image are that is written. It has all three of the methods for it. */
export type WritableStorage = WritableSyncStorage | WritableAsyncStorage

/**
 * Where an image's bytes are. A storage with `readSync` counts as synchronous.
 *
 * Whatever a storage throws reaches the caller of the image: a {@link Qcow2Error} as it is, anything else as the
 * `cause` of one with code `STORAGE`, or `QUOTA` if it means that there is no room.
 */
export type Storage = SyncStorage | AsyncStorage

/** True if the storage can be read without waiting. */
export function isSync(storage: Storage): storage is SyncStorage {
  return typeof (storage as Partial<SyncStorage>).readSync === 'function'
}

/** True if the storage can be written; an exception if it has but a part of what that takes. */
export function isWritable(storage: Storage): storage is WritableStorage {
  const needed = isSync(storage) ? ['writeSync', 'truncateSync', 'flushSync'] : ['write', 'truncate', 'flush']
  const missing = needed.filter((name) => typeof (storage as object as Record<string, unknown>)[name] !== 'function')
  if (missing.length === 0 || missing.length === needed.length) return missing.length === 0
  throw new Qcow2Error('STORAGE_CONTRACT', `A storage that can be written has ${missing.join(' and ')} too.`)
}

/** An asynchronous storage that keeps some of its bytes, as those of this package do that fetch ahead. */
export interface KeepingStorage extends AsyncStorage {
  /** Fills `into` with the bytes at `offset` if all of them are kept; if not, the result is false, and `into` anything. */
  readKept(offset: number, into: Uint8Array): boolean
  /** As `read`, into an array of the caller's; `INVALID_ARGUMENT` if that is given away before. */
  readInto(offset: number, into: Uint8Array, options: Abortable): Promise<void>
  /** The storage below, for callers that read ahead themselves. Missing unless that storage gives its arrays away. */
  readonly giver: GivingStorage | undefined
}

/** An asynchronous storage that makes an array for each read, and leaves it to the caller. */
export interface GivingStorage extends AsyncStorage {
  readonly gives: true
  /** Opens a run of bytes to read from front to back. Returns `undefined` if the storage has no faster way than `read`. */
  openRun(offset: number, length: number): Run | undefined
}

/** Bytes that are read once, from front to back. */
export interface Run {
  /** In bytes. */
  readonly length: number
  /** Resolves with the next `length` bytes, in an array that the caller keeps. Reads may overlap; they keep their order. */
  read(length: number): Promise<Uint8Array<ArrayBuffer>>
  /** Ends the run early. Reads that are under way reject. */
  close(): void
}

/** True if there is more to `storage` than its contract. */
export function isKeeping(storage: Storage): storage is KeepingStorage {
  return 'readKept' in storage
}

/** True if the arrays that `storage` returns belong to the caller. */
export function isGiving(storage: Storage): storage is GivingStorage {
  return 'gives' in storage
}

/** `storage.read`; an exception that it throws becomes a rejection. */
export function ask(
  storage: AsyncStorage,
  offset: number,
  length: number,
  options: { readonly signal: AbortSignal },
): Promise<Uint8Array> {
  return attempt(() => storage.read(offset, length, options))
}

/** True if `value` has what all storages have. */
export function isStorage(value: unknown): value is Storage {
  const methods = (typeof value === 'object' || typeof value === 'function') && value ? value : {}
  const has = (name: string) => typeof (methods as Record<string, unknown>)[name] === 'function'
  return has('size') && (has('readSync') || has('read'))
}

/** `value` as a storage; `what` names it in the error. */
export function checkedStorage(value: unknown, what: string): Storage {
  if (isStorage(value)) return value
  const hint = 'such as blob(file), memory(bytes) or nodeFile(path): an object with size() and read() or readSync()'
  throw invalidArgument(`${what} must be a storage, ${hint}.`)
}

/** `bytes` as what a storage answers to a request for `length` bytes at `offset`. */
export function exact(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === length) return bytes
  const what = bytes instanceof Uint8Array ? `${bytes.length} bytes` : `${show(bytes)}, not a Uint8Array,`
  const reason = `The storage answered ${what} where ${length} bytes at offset ${offset} were asked for.`
  throw new Qcow2Error('STORAGE_CONTRACT', reason, { offset })
}
