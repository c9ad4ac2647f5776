import type { ByteCount } from '../base/arguments.js'
import { watchIn } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import { BaseDisk, diskClosed } from '../disk/base-disk.js'
import type { Extent, MapOptions } from '../disk/extent.js'
import { rangeOf } from '../disk/ranges.js'
import type { Handle } from '../engine/handle.js'

/** The machine's saved state in an image or a snapshot, which it shares: to close it closes nothing. */
export class VmState extends BaseDisk {
  readonly sync = false
  readonly #handle: Handle
  #closed = false

  constructor(handle: Handle) {
    super()
    this.#handle = handle
  }

  override get size(): number {
    return this.#handle.vmStateSize
  }

  override get closed(): boolean {
    return this.#closed || this.#handle.closed
  }

  override async *map(options: MapOptions = {}): AsyncGenerator<Extent> {
    const { offset, length } = rangeOf(options, this.size)
    const { signal, onProgress } = watchIn(options)
    signal?.throwIfAborted()
    const flags = { depth: 0, present: true, zero: false, data: true, compressed: false, offset: undefined }
    if (length > 0) yield { start: Number(offset), length, ...flags }
    onProgress?.({ done: length, total: length })
  }

  override async close(): Promise<void> {
    this.#closed = true
  }

  /** @internal */
  override fetch(
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Uint8Array | Promise<Uint8Array> {
    if (this.#closed) throw diskClosed()
    return this.#handle.read('read_vm_state', BigInt(offset), target, signal)
  }

  /** @internal */
  override fetchSync(): never {
    throw new Qcow2Error('NOT_SYNC', 'A VM state cannot be read without waiting. Use read() instead of readSync().')
  }
}
