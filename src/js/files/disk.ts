/**
 * What this module needs of a disk: an image, a snapshot, a partition, or any object that has these members.
 *
 * Everything in here only reads, and reads no more than it needs.
 */
export interface FilesDisk {
  /** The size in bytes. */
  readonly size: number
  /** Reads `length` bytes at `offset`. Rejects if it cannot read all of them. */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>
  /** True if `readSync` works, so that nothing has to be read twice. */
  readonly sync?: boolean
  /** As `read`, at once. */
  readSync?(offset: number, length: number): Uint8Array
}
