import { type Memory, memory, type WritableAsyncStorage } from '../../../src/js/index.js'

/** A file in memory behind an asynchronous storage that fails, or waits, when the test says so. */
export class FaultyStorage implements WritableAsyncStorage {
  /** Thrown by each request while it is set. */
  failure: unknown
  /** Which requests fail. */
  fails: { read?: boolean; write?: boolean; flush?: boolean } = { read: true, write: true, flush: true }
  /** How often each kind was asked for. */
  readonly asked = { read: 0, write: 0, flush: 0 }
  /** What requests wait for. */
  gate: Promise<void> = Promise.resolve()
  readonly #memory: Memory

  constructor(file: Memory = memory()) {
    this.#memory = file
  }

  /** The file as it is. */
  bytes(): Uint8Array {
    return this.#memory.bytes()
  }

  size(): number {
    return this.#memory.size()
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    await this.#pass('read')
    const bytes = new Uint8Array(length)
    this.#memory.readSync(offset, bytes)
    return bytes
  }

  async write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#pass('write')
    this.#memory.writeSync(offset, bytes)
  }

  async truncate(size: number): Promise<void> {
    this.#memory.truncateSync(size)
  }

  async flush(): Promise<void> {
    await this.#pass('flush')
  }

  async #pass(kind: 'read' | 'write' | 'flush'): Promise<void> {
    this.asked[kind] += 1
    await this.gate
    if (this.failure !== undefined && this.fails[kind]) throw this.failure
  }
}
