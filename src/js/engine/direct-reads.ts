import type { ByteCount } from '../base/arguments.js'
import { storageFailed, ThrownAt } from '../base/errors.js'
import type { Run } from '../base/storage/contract.js'
import { HostOffsets } from './host-offsets.js'
import type { HostStorage } from './host-storage.js'
import type { WasmImage } from './module.js'
import type { Tasks } from './tasks.js'

/** Reads that go past the memory of WebAssembly: from the storage straight into the caller's array. */
export class DirectReads {
  readonly #data: HostStorage
  readonly #tasks: Tasks
  readonly #lookup: (offset: ByteCount, length: number) => number

  /**
   * `data` is the storage that holds the data of `image`: its data file, or its own. If the image is `fixed`, nothing of it ever
   * changes.
   */
  constructor(image: WasmImage, data: HostStorage, tasks: Tasks, fixed: boolean) {
    this.#data = data
    this.#tasks = tasks
    const lookup = (offset: ByteCount, length: number) => image.cached_host_offset(BigInt(offset), length)
    const offsets = fixed && data.keeps ? new HostOffsets(lookup, image.size) : undefined
    this.#lookup = offsets ? (offset, length) => offsets.find(offset, length) : lookup
  }

  /** Fills `into` with what the disk has at `offset`; false if the engine has to read it, and `into` is then anything. */
  readSync(offset: ByteCount, into: Uint8Array): boolean {
    const hostOffset = this.#hostOffset(offset, into.length)
    // Without waiting: the host offset is valid until another request changes the image.
    return hostOffset >= 0 && this.#data.readKept(hostOffset, into)
  }

  /** As `readSync`, also of what has to come first. */
  read(offset: ByteCount, into: Uint8Array, signal: AbortSignal | undefined): boolean | Promise<void> {
    const hostOffset = this.#hostOffset(offset, into.length)
    if (hostOffset < 0) return false
    const data = this.#data
    if (data.readKept(hostOffset, into)) return true
    if (data.sync) return false
    // An asynchronous storage that keeps bytes can't be written, so the host offset stays valid.
    return this.#tasks.ask((abort) => data.readInto(hostOffset, into, abort).catch(failAt(hostOffset)), signal)
  }

  /** True if `give` may come to something. */
  get gives(): boolean {
    return this.#data.giver !== undefined
  }

  /**
   * Reads the disk at `offset` into the array that the storage makes, which belongs to the caller. The storage does not take the read
   * for the start of a sequence. Returns false if the engine has to read it.
   */
  give(offset: ByteCount, length: number, signal: AbortSignal | undefined): false | Promise<Uint8Array> {
    const data = this.#data
    const hostOffset = data.giver ? this.#hostOffset(offset, length) : -1
    if (data.sync || hostOffset < 0) return false
    return this.#tasks.ask((abort) => data.give(hostOffset, length, abort).catch(failAt(hostOffset)), signal)
  }

  /** Opens a run of the storage itself, at a host offset. Returns `undefined` if there is no faster way than reads. */
  openRun(hostOffset: number, length: number): Run | undefined {
    const data = this.#data
    if (data.sync || hostOffset + length > data.size) return undefined
    const run = data.openRun(hostOffset, length)
    if (!run) return undefined
    const close = () => run.close()
    const read = (count: number) =>
      this.#tasks.ask((abort) => {
        abort.listen(close)
        return run.read(count).catch(failAt(hostOffset))
      }, undefined)
    return { length, read, close }
  }

  #hostOffset(offset: ByteCount, length: number): number {
    return this.#data.keeps ? this.#lookup(offset, length) : -1
  }
}

function failAt(offset: number): (error: unknown) => never {
  return (error) => {
    throw storageFailed(new ThrownAt(error, offset))
  }
}
