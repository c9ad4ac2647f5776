/** How much of a long operation is done, in bytes unless the operation documents another unit. */
export interface Progress {
  /** What is done. */
  readonly done: number
  /** What there is to do. */
  readonly total: number
}

/** How a single request is watched. */
export interface RequestOptions {
  /**
   * Drops the request, and what it has asked of the storage; it then rejects with the signal's reason. Of a write that was
   * dropped, each byte is either as before or as written.
   */
  readonly signal?: AbortSignal | undefined
}

/** How an operation that takes long is watched. */
export interface LongOptions extends RequestOptions {
  /**
   * Called many times with how much is done, in a unit that differs from operation to operation; `total` may grow. It must
   * not call methods of the image. An exception that it throws ends the operation, which rejects with it.
   */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}
