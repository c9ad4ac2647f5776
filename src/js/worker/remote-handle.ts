import { type ByteCount, watchIn } from '../base/arguments.js'
import { isQcow2Error, Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Run } from '../base/storage/contract.js'
import type { Changes, Handle, Operations, Readable, Walk, Walks, Writable } from '../engine/handle.js'
import type { Statistics } from '../engine/statistics.js'
import { closed } from '../engine/tasks.js'
import type { Snapshot } from '../engine/values.js'
import type { PageObjects } from './page-objects.js'
import type { Facts, WorkerMethods } from './protocol.js'
import { ReadAhead } from './remote-read-ahead.js'
import { Reads } from './remote-reads.js'
import type { Port } from './rpc/port.js'

/** How much of a long write crosses at a time, in bytes: a multiple of every cluster size. */
const portion = 4 * 1024 * 1024

/** An image whose engine runs in a worker. */
export class RemoteHandle implements Handle {
  readonly writable: boolean
  readonly sync = false
  readonly vmStateSize: number
  readonly #objects: PageObjects
  /** The number by which the worker has it. */
  readonly #image: number
  /** Nothing of it ever changes. */
  readonly #fixed: boolean
  readonly #reads: Reads
  readonly #ahead: ReadAhead | undefined
  #facts: Facts
  #closing: Promise<void> | undefined

  constructor(objects: PageObjects, image: number, facts: Facts, fixed = !facts.writable) {
    this.#objects = objects
    objects.add(this)
    this.#image = image
    this.#facts = facts
    this.writable = facts.writable
    this.vmStateSize = facts.vmStateSize
    this.#fixed = fixed
    this.#reads = new Reads(objects.client.port, image)
    // It counts in numbers.
    const ahead = fixed && Number.isSafeInteger(facts.size)
    this.#ahead = ahead ? new ReadAhead(this.#reads, facts) : undefined
  }

  get size(): number {
    return this.#facts.size
  }

  get snapshots(): readonly Snapshot[] {
    return this.#facts.snapshots
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  async run<M extends keyof Operations>(
    method: M,
    args: Parameters<Operations[M]>,
    options: LongOptions = {},
  ): Promise<ReturnType<Operations[M]>> {
    const value = await this.#port.call('run', [this.#image, method, args], watchIn(options))
    return value as ReturnType<Operations[M]>
  }

  async change<M extends keyof Changes>(
    method: M,
    args: Parameters<Changes[M]>,
    options: LongOptions = {},
  ): Promise<ReturnType<Changes[M]>> {
    try {
      const value = await this.#port.call('change', [this.#image, method, args], watchIn(options))
      return value as ReturnType<Changes[M]>
    } finally {
      if (!this.closed) await this.#look().catch(() => {})
    }
  }

  read(
    what: Readable,
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
    alone = false,
  ): Uint8Array | Promise<Uint8Array> {
    if (this.closed) throw closed()
    signal?.throwIfAborted()
    if (what === 'read' && !alone && this.#ahead) return this.#ahead.read(Number(offset), target, signal)
    if (alone && what === 'read' && typeof target === 'number' && this.#facts.gives) {
      return this.#reads.given(BigInt(offset), target, signal)
    }
    return this.#reads.read(what, BigInt(offset), target, signal)
  }

  /** Only of an image that never changes: what is mapped stays right. */
  get hasRuns(): boolean {
    return this.#fixed && this.#facts.gives
  }

  async openRun(hostOffset: number, length: number): Promise<Run | undefined> {
    const [port, image] = [this.#port, this.#image]
    const run = this.#objects.client.number()
    if (!(await port.call('openRun', [image, run, hostOffset, length]))) return undefined
    return {
      length,
      read: (count) => port.call('readRun', [run, count]),
      close: () => void port.call('closeRun', [image, run]).catch(() => {}),
    }
  }

  async write(how: Writable, offset: bigint, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    let at = 0
    do {
      // The caller keeps the array.
      const part = new Uint8Array(bytes.subarray(at, at + portion))
      const args = [this.#image, how, offset + BigInt(at), part] as const
      await this.#port.call('writeImage', [...args], { signal, transfer: [part.buffer] })
      at += portion
    } while (at < bytes.length)
  }

  readSync(): never {
    throw notSync()
  }

  writeSync(): never {
    throw notSync()
  }

  runSync(): never {
    throw notSync()
  }

  allocatedSize(): Promise<number | undefined> {
    return this.#port.call('allocatedSize', [this.#image])
  }

  statistics(): Promise<Statistics> {
    return this.#port.call('statistics', [this.#image])
  }

  flushSync(): never {
    throw notSync()
  }

  walk<M extends keyof Walks>(method: M, ...args: Parameters<Walks[M]>): Walk {
    const [port, image] = [this.#port, this.#image]
    const walk = this.#objects.client.number()
    const begun = port.call('beginWalk', [image, walk, method, args])
    return {
      async next(limit, signal) {
        await begun
        return port.call('continueWalk', [walk, limit], { signal })
      },
      free() {
        port.call('endWalk', [image, walk]).catch(() => {})
      },
    }
  }

  async openSnapshot(idOrName: string): Promise<Handle> {
    const snapshot = this.#objects.client.number()
    const facts = await this.#port.call('openSnapshot', [this.#image, snapshot, idOrName])
    return new RemoteHandle(this.#objects, snapshot, facts, this.#fixed)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get #port(): Port<WorkerMethods> {
    if (this.closed) throw closed()
    return this.#objects.client.port
  }

  async #look(): Promise<void> {
    this.#facts = await this.#port.call('facts', [this.#image])
  }

  async #close(): Promise<void> {
    this.#ahead?.end()
    try {
      await this.#objects.client.port.call('closeImage', [this.#image])
    } catch (error) {
      // With a worker that is gone all is closed; what was written and not flushed is lost.
      const gone = isQcow2Error(error) && error.code === 'WORKER_DIED'
      if (this.writable || !gone) throw error
    } finally {
      await this.#objects.release(this)
    }
  }
}

function notSync(): Qcow2Error {
  return new Qcow2Error(
    'NOT_SYNC',
    'The engine of this image is in a worker, so nothing of it can be had synchronously.',
  )
}
