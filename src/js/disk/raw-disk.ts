import { follow, unlessAborted } from '../base/abort.js'
import type { ByteCount } from '../base/arguments.js'
import { signalIn, watchIn } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import { checkWritable, explaining, explainingSync, measure, ready } from '../base/storage/access.js'
import { claim, disclaim } from '../base/storage/claims.js'
import {
  ask,
  exact,
  type GivingStorage,
  isKeeping,
  isSync,
  type Run,
  type Storage,
  type WritableAsyncStorage,
  type WritableSyncStorage,
} from '../base/storage/contract.js'
import { User } from '../base/storage/user.js'
import { BaseDisk, diskClosed } from './base-disk.js'
import type { WritableDisk, WritableOptions } from './disk.js'
import type { Extent, MapOptions } from './extent.js'
import { bytesWithin, rangeOf, rangeWithin } from './ranges.js'
import { type StreamSource, writeStream } from './stream.js'

/** How many zeros are written at a time, in bytes. */
const portion = 1024 * 1024

/** The bytes of a storage as a disk. Its size stays what it was at the opening. */
export class RawDisk extends BaseDisk implements WritableDisk {
  readonly size: number
  readonly sync: boolean
  readonly readOnly: boolean
  readonly #storage: Storage
  readonly #user: User
  /** The requests under way. `close` ends them. */
  readonly #requests = new Set<{ readonly stop: AbortController; readonly outcome: Promise<unknown> }>()
  #closing: Promise<void> | undefined

  /** Takes the storage over until the disk is closed, unless `signal` aborts before. */
  static async open(storage: Storage, writable: boolean, signal: AbortSignal | undefined): Promise<RawDisk> {
    if (writable) checkWritable(storage)
    claim(storage, writable ? 'write' : 'read')
    const user = new User(signal)
    await ready(storage, { signal: user.signal, user, writable }, () => {
      disclaim(storage)
      user.ended()
    })
    try {
      const size = await measure(storage)
      user.signal.throwIfAborted()
      return new RawDisk(storage, size, writable, user)
    } catch (error) {
      disclaim(storage)
      await storage.close?.()
      user.ended()
      throw error
    }
  }

  private constructor(storage: Storage, size: number, writable: boolean, user: User) {
    super()
    this.#storage = storage
    this.#user = user
    user.opened(() => this.close())
    this.size = size
    this.sync = isSync(storage)
    this.readOnly = !writable
  }

  override get closed(): boolean {
    return this.#closing !== undefined
  }

  override async *map(options: MapOptions = {}): AsyncGenerator<Extent> {
    const { offset, length } = rangeOf(options, this.size)
    this.#open()
    const { signal, onProgress } = watchIn(options)
    signal?.throwIfAborted()
    const start = Number(offset)
    const flags = { depth: 0, present: true, zero: false, data: true, compressed: false }
    if (length > 0) yield { start, length, ...flags, offset: start }
    onProgress?.({ done: length, total: length })
  }

  async write(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView, options: RequestOptions = {}): Promise<void> {
    const from = bytesWithin(offset, bytes, this.size)
    this.#mayWrite()
    const storage = this.#storage as WritableSyncStorage | WritableAsyncStorage
    await this.#run(signalIn(options), (abort) => {
      if (isSync(storage)) return storage.writeSync(Number(offset), from)
      return storage.write(Number(offset), new Uint8Array(from), abort)
    })
  }

  async writeZeroes(offset: ByteCount, length: ByteCount, options: RequestOptions = {}): Promise<void> {
    const [start, count] = rangeWithin(offset, length, this.size)
    const end = Number(start + count)
    for (let at = Number(start); at < end; at += portion) {
      await this.write(at, new Uint8Array(Math.min(portion, end - at)), options)
    }
  }

  /** Changes nothing: a storage has no clusters that could be freed. */
  async discard(offset: ByteCount, length: ByteCount, options: RequestOptions = {}): Promise<void> {
    signalIn(options)?.throwIfAborted()
    this.discardSync(offset, length)
  }

  async flush(options: RequestOptions = {}): Promise<void> {
    this.#mayWrite()
    const storage = this.#storage as WritableSyncStorage | WritableAsyncStorage
    await this.#run(signalIn(options), () => (isSync(storage) ? storage.flushSync() : storage.flush()))
  }

  writeSync(offset: ByteCount, bytes: ArrayBuffer | ArrayBufferView): void {
    const from = bytesWithin(offset, bytes, this.size)
    this.#mayWrite()
    explainingSync('written', () => this.#synchronous().writeSync(Number(offset), from))
  }

  writeZeroesSync(offset: ByteCount, length: ByteCount): void {
    const [start, count] = rangeWithin(offset, length, this.size)
    const end = Number(start + count)
    for (let at = Number(start); at < end; at += portion) {
      this.writeSync(at, new Uint8Array(Math.min(portion, end - at)))
    }
  }

  discardSync(offset: ByteCount, length: ByteCount): void {
    rangeWithin(offset, length, this.size)
    this.#mayWrite()
  }

  flushSync(): void {
    this.#mayWrite()
    explainingSync('flushed', () => this.#synchronous().flushSync())
  }

  writable(options: WritableOptions = {}): WritableStream<Uint8Array> {
    return writeStream(rangeOf(options, this.size), options, this)
  }

  /** Ends the requests under way, makes durable what was written, and closes the storage. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** @internal */
  override fetch(
    offset: ByteCount,
    target: number | Uint8Array,
    signal: AbortSignal | undefined,
  ): Uint8Array | Promise<Uint8Array> {
    const at = Number(offset)
    const into = typeof target === 'number' ? new Uint8Array(target) : target
    if (isSync(this.#storage)) {
      signal?.throwIfAborted()
      this.fetchSync(offset, into)
      return into
    }
    const storage = this.#storage
    return this.#run(signal, async (abort) => {
      if (isKeeping(storage)) await storage.readInto(at, into, abort)
      else into.set(exact(await ask(storage, at, into.length, abort), at, into.length))
      return into
    })
  }

  /** @internal */
  override runs(): StreamSource['openRun'] {
    const giver = isKeeping(this.#storage) ? this.#storage.giver : undefined
    return giver && (async (offset, length) => this.#openRun(giver, Number(offset), length))
  }

  #openRun(giver: GivingStorage, offset: number, length: number): Run | undefined {
    this.#open()
    const run = giver.openRun(offset, length)
    if (!run) return undefined
    const close = () => run.close()
    const read = (count: number) =>
      this.#run(undefined, ({ signal }) => {
        signal.addEventListener('abort', close, { once: true })
        return run.read(count)
      })
    return { length, read, close }
  }

  /** @internal */
  override fetchSync(offset: ByteCount, into: Uint8Array): void {
    this.#open()
    explainingSync('read', () => this.#synchronous().readSync(Number(offset), into))
  }

  /** Runs a request of the storage until `signal` aborts, or this is closed. */
  async #run<T>(
    signal: AbortSignal | undefined,
    request: (options: { readonly signal: AbortSignal }) => T | Promise<T>,
  ): Promise<T> {
    this.#open()
    signal?.throwIfAborted()
    const stop = new AbortController()
    const ignore = follow(stop, signal)
    const outcome = explaining('accessed', () => request({ signal: stop.signal }))
    const entry = { stop, outcome }
    this.#requests.add(entry)
    const forget = () => this.#requests.delete(entry)
    outcome.then(forget, forget)
    try {
      return await unlessAborted(outcome, stop.signal)
    } finally {
      ignore()
    }
  }

  async #close(): Promise<void> {
    const requests = [...this.#requests]
    for (const { stop } of requests) stop.abort(diskClosed())
    // A write that was aborted may still be carried out.
    await Promise.allSettled(requests.map(({ outcome }) => outcome))
    const storage = this.#storage as WritableSyncStorage | WritableAsyncStorage
    try {
      if (!this.readOnly) await explaining('flushed', () => (isSync(storage) ? storage.flushSync() : storage.flush()))
    } finally {
      disclaim(storage)
      await storage.close?.()
      this.#user.ended()
    }
  }

  #open(): void {
    if (this.closed) throw diskClosed()
  }

  #mayWrite(): void {
    this.#open()
    if (this.readOnly)
      throw new Qcow2Error('READ_ONLY', 'The disk is open for reading only. Open it with writable: true.')
  }

  #synchronous(): WritableSyncStorage {
    if (isSync(this.#storage)) return this.#storage as WritableSyncStorage
    throw new Qcow2Error('NOT_SYNC', 'The storage of this disk is asynchronous, so it cannot be read without waiting.')
  }
}
