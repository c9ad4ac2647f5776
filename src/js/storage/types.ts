/**
 * Bytes that are always at hand: memory, an OPFS access handle, a file read synchronously.
 *
 * Over such a storage every call of the engine completes at once, and `readSync` works.
 */
export interface SyncStorage {
  /** Makes the storage ready; awaited before anything else is asked of it, once for each image that it is given to. */
  open?(): void | Promise<void>
  /** The length in bytes. */
  size(): number
  /**
   * Fills `into` with the bytes at `offset`, all of it or an exception; past the end is an exception.
   *
   * `into` is a view on the memory of WebAssembly, valid only during the call: write to it, don't keep it, and call no
   * method of an image meanwhile.
   */
  readSync(offset: number, into: Uint8Array): void
  /** Releases what `open` took; called once for each `open`. */
  close?(): void | Promise<void>
}

/** Bytes that one has to wait for: a `Blob`, a server. Requests overlap; a storage need not keep their order. */
export interface AsyncStorage {
  /** Makes the storage ready; awaited before anything else is asked of it, once for each image that it is given to. */
  open?(): void | Promise<void>
  /** The length in bytes. */
  size(): number | Promise<number>
  /**
   * Resolves with exactly the `length` bytes at `offset`, or rejects; past the end is a rejection. The caller doesn't
   * change the array that it gets.
   *
   * `signal` aborts when nobody waits for the answer any more: then any answer does.
   */
  read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array>
  /** Releases what `open` took; called once for each `open`. */
  close?(): void | Promise<void>
}

/**
 * Where an image's bytes are. A storage with `readSync` is taken for synchronous.
 *
 * Whatever a storage throws reaches the caller of the image: a {@link Qcow2Error} as it is, anything else as the
 * `cause` of one with code `STORAGE`.
 */
export type Storage = SyncStorage | AsyncStorage

/** True if all bytes of the storage are at hand at once. */
export function isSync(storage: Storage): storage is SyncStorage {
  return 'readSync' in storage
}

/** `storage.read`, with an exception that it throws as a rejection. No more promises than needed, as reads may be many. */
export function ask(
  storage: AsyncStorage,
  offset: number,
  length: number,
  options: { readonly signal: AbortSignal },
): Promise<Uint8Array> {
  try {
    return Promise.resolve(storage.read(offset, length, options))
  } catch (exception) {
    return Promise.reject(exception)
  }
}
