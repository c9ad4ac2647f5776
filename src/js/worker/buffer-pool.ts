/** How much is kept, in bytes. */
const limit = 4 * 1024 * 1024

/**
 * Memory in which bytes have come from the worker, and that goes back to be filled again: new memory would cost as much as
 * all else that a read does.
 */
export class BufferPool {
  readonly #buffers: ArrayBuffer[] = []
  #total = 0

  /** Memory of a length, which is no longer here, if there is some. */
  take(length: number): ArrayBuffer | undefined {
    const index = this.#buffers.findIndex(({ byteLength }) => byteLength === length)
    if (index < 0) return undefined
    this.#total -= length
    return this.#buffers.splice(index, 1)[0]
  }

  /** Keeps memory that is not used any more; what was kept longest makes room for it. */
  keep(buffer: ArrayBuffer): void {
    // Memory of no bytes would never be dropped for others.
    if (buffer.byteLength === 0) return
    this.#buffers.push(buffer)
    this.#total += buffer.byteLength
    while (this.#total > limit) this.#total -= this.#buffers.shift()?.byteLength ?? 0
  }
}
