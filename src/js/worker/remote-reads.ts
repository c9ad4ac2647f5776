import { stillHas } from '../base/arguments.js'
import type { Readable } from '../engine/handle.js'
import { BufferPool } from './buffer-pool.js'
import type { WorkerMethods } from './protocol.js'
import type { Port } from './rpc/port.js'

/** Asks the worker for what is read of an image, each time for one range. */
export class Reads {
  readonly #port: Port<WorkerMethods>
  readonly #image: number
  readonly #buffers = new BufferPool()

  /** `image` is the number by which the worker has it. */
  constructor(port: Port<WorkerMethods>, image: number) {
    this.#port = port
    this.#image = image
  }

  /** Reads into an array, or into a new one of a length. */
  async read(
    what: Readable,
    offset: bigint,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    if (typeof target === 'number') return this.fetch(what, offset, target, signal)
    const { length } = target
    const bytes = await this.fetch(what, offset, length, signal)
    stillHas(target, length)
    target.set(bytes)
    this.reuse(bytes)
    return target
  }

  /** The bytes of a range, in an array that is the caller's alone. */
  fetch(
    what: Readable,
    offset: bigint,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const spare = this.#buffers.take(length)
    const options = { signal, transfer: spare ? [spare] : [] }
    return this.#port.call('readImage', [this.#image, what, offset, spare ?? length], options)
  }

  /** As `fetch`, of the disk, in an array that the worker makes. */
  given(offset: bigint, length: number, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
    return this.#port.call('giveOfImage', [this.#image, offset, length], { signal })
  }

  /** Takes back an array that was fetched, and that is not used any more. */
  reuse(bytes: Uint8Array<ArrayBuffer>): void {
    this.#buffers.keep(bytes.buffer)
  }
}
