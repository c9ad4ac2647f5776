import { LazyAbort } from '../base/abort.js'
import { attempt } from '../base/attempt.js'
import { ThrownAt } from '../base/errors.js'
import { checkedSize, sizeOf } from '../base/storage/access.js'
import {
  type AsyncStorage,
  ask,
  type GivingStorage,
  isKeeping,
  isSync,
  type KeepingStorage,
  type Run,
  type Storage,
  type SyncStorage,
  type WritableAsyncStorage,
  type WritableSyncStorage,
} from '../base/storage/contract.js'
import type { Counters, StorageStatistics } from './statistics.js'
import { isThreadShared, isTurnOver, nextTurn } from './time-slices.js'

/** The engine, for the storages that answer its requests. */
export interface Requests {
  answer(request: number, value: unknown): void
  refuse(request: number, exception: unknown): void
}

/** A storage as the engine knows it: `src/bridge/host.rs` lists what it calls. */
export type HostStorage = SyncHostStorage | AsyncHostStorage

/**
 * `storage`, of `size` bytes, for the engine, which may write to it if it is `writable`, and can be. Its requests are counted in
 * `counters`.
 */
export function hostStorage(
  storage: Storage,
  size: number,
  writable: boolean,
  engine: Requests,
  counters: Counters<StorageStatistics>,
): HostStorage {
  const Host = isSync(storage) ? SyncHostStorage : AsyncHostStorage
  return new Host(storage as never, size, writable, engine, counters)
}

class SyncHostStorage {
  readonly sync = true
  readonly keeps = true
  readonly giver = undefined
  readonly size: number
  readonly writable: boolean
  readonly takesTurns = isThreadShared()
  #storage: WritableSyncStorage
  readonly #engine: Requests
  readonly #counters: Counters<StorageStatistics>
  /** The requests that wait for a turn. */
  readonly #waiting = new Set<number>()

  constructor(
    storage: SyncStorage,
    size: number,
    writable: boolean,
    engine: Requests,
    counters: Counters<StorageStatistics>,
  ) {
    // Where it isn't writable, the engine calls none of the methods for it.
    this.#storage = storage as WritableSyncStorage
    this.size = size
    this.writable = writable
    this.#engine = engine
    this.#counters = counters
  }

  isTurnOver(): boolean {
    return isTurnOver()
  }

  nextTurn(number: number): void {
    this.#waiting.add(number)
    void nextTurn().then(() => {
      if (this.#waiting.delete(number)) this.#engine.answer(number, undefined)
    })
  }

  abort(number: number): void {
    this.#waiting.delete(number)
  }

  sizeSync(): number {
    return checkedSize(this.#storage.size())
  }

  readSync(offset: number, into: Uint8Array): void {
    this.#countRead(into.length)
    try {
      this.#storage.readSync(offset, into)
    } catch (exception) {
      throw new ThrownAt(exception, offset)
    }
  }

  readKept(offset: number, into: Uint8Array): boolean {
    this.#countRead(into.length)
    try {
      this.#storage.readSync(offset, into)
      return true
    } catch {
      // The engine asks for the same bytes, and reports the error.
      return false
    }
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.#counters.writes += 1
    this.#counters.bytesWritten += bytes.length
    try {
      this.#storage.writeSync(offset, bytes)
    } catch (exception) {
      throw new ThrownAt(exception, offset)
    }
  }

  truncateSync(size: number): void {
    this.#storage.truncateSync(size)
  }

  flushSync(): void {
    this.#counters.flushes += 1
    this.#storage.flushSync()
  }

  /** Resolves when no request is under way any more. */
  async drained(): Promise<void> {}

  /** Releases the storage after its last request, so that an app that keeps a closed image does not keep the storage alive. */
  end(): void {
    this.#storage = released as WritableSyncStorage
    this.#waiting.clear()
  }

  #countRead(length: number): void {
    this.#counters.reads += 1
    this.#counters.bytesRead += length
  }
}

/** A request under way. */
interface Request {
  readonly abort: LazyAbort
  /** Where the bytes are that it reads or writes. */
  readonly offset?: number | undefined
  /** What it changes, if it does. */
  readonly change?: Change
}

/** Bytes `start` to `end` of the file, which a request changes. */
interface Change {
  readonly start: number
  readonly end: number
  /** Settles when it is carried out, or has failed; missing until it is begun. */
  outcome?: Promise<void>
}

/**
 * Beside passing requests on, this keeps what the engine is promised of changes that were aborted: they may still be
 * carried out, but not after a later change of the same bytes, or a flush, has been; and that flush covers them.
 */
class AsyncHostStorage {
  readonly sync = false
  readonly size: number
  readonly writable: boolean
  #storage: WritableAsyncStorage
  #kept: KeepingStorage | undefined
  readonly #engine: Requests
  readonly #counters: Counters<StorageStatistics>
  /** The requests under way; those that were aborted are no longer among them, and their answers are not heard. */
  readonly #requests = new Map<number, Request>()
  /** The changes that were aborted and may still be carried out. */
  readonly #aborted = new Set<Change>()

  constructor(
    storage: AsyncStorage,
    size: number,
    writable: boolean,
    engine: Requests,
    counters: Counters<StorageStatistics>,
  ) {
    // Where it isn't writable, the engine calls none of the methods for it.
    this.#storage = storage as WritableAsyncStorage
    this.#kept = isKeeping(storage) ? storage : undefined
    this.size = size
    this.writable = writable
    this.#engine = engine
    this.#counters = counters
  }

  /** True if some of it may be at hand. */
  get keeps(): boolean {
    return this.#kept !== undefined
  }

  /** The storage for callers that read ahead themselves, if there is one. */
  get giver(): GivingStorage | undefined {
    return this.#kept?.giver
  }

  /** Fills `into` with the bytes at `offset` if they are at hand; if not, the result is false, and `into` anything. */
  readKept(offset: number, into: Uint8Array): boolean {
    return this.#kept?.readKept(offset, into) ?? false
  }

  /** A new array with the bytes at `offset`, from the storage of `giver`. */
  give(offset: number, length: number, abort: LazyAbort): Promise<Uint8Array> {
    this.#countRead(length)
    return ask(this.giver as GivingStorage, offset, length, abort)
  }

  /** Opens a run of the storage of `giver`, whose reads it counts. */
  openRun(offset: number, length: number): Run | undefined {
    const run = this.giver?.openRun(offset, length)
    if (!run) return undefined
    const read = (count: number) => {
      this.#countRead(count)
      return run.read(count)
    }
    return { length, read, close: () => run.close() }
  }

  /** Fills `into` with the bytes at `offset` when they have come; only where it `keeps` some. */
  readInto(offset: number, into: Uint8Array, abort: LazyAbort): Promise<void> {
    this.#countRead(into.length)
    return (this.#kept as KeepingStorage).readInto(offset, into, abort)
  }

  measure(number: number): void {
    this.#answer(number, { abort: new LazyAbort() }, sizeOf(this.#storage))
  }

  read(number: number, offset: number, length: number): void {
    const abort = new LazyAbort()
    this.#countRead(length)
    this.#answer(number, { abort, offset }, ask(this.#storage, offset, length, abort))
  }

  write(number: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#counters.writes += 1
    this.#counters.bytesWritten += bytes.length
    this.#change(number, offset, offset + bytes.length, (abort) => this.#storage.write(offset, bytes, abort))
  }

  truncate(number: number, size: number): void {
    this.#change(number, 0, Number.POSITIVE_INFINITY, () => this.#storage.truncate(size))
  }

  flush(number: number): void {
    this.#answer(number, { abort: new LazyAbort() }, this.#flush())
  }

  abort(number: number): void {
    const request = this.#requests.get(number)
    this.#requests.delete(number)
    const { change } = request ?? {}
    if (change?.outcome) {
      const forget = () => this.#aborted.delete(change)
      this.#aborted.add(change)
      change.outcome.then(forget, forget)
    }
    request?.abort.abort()
  }

  /** Resolves when nothing that was aborted is under way any more. */
  async drained(): Promise<void> {
    while (this.#aborted.size > 0) await outcomes([...this.#aborted])
  }

  /** Releases the storage after its last request, so that an app that keeps a closed image does not keep the storage alive. */
  end(): void {
    this.#storage = released as WritableAsyncStorage
    this.#kept = undefined
    this.#requests.clear()
  }

  #change(number: number, start: number, end: number, carryOut: (abort: LazyAbort) => Promise<void>): void {
    const abort = new LazyAbort()
    const change: Change = { start, end }
    const offset = Number.isFinite(end) ? start : undefined
    const begin = () => {
      // Aborted before it was begun: then it never is.
      if (abort.aborted) return
      change.outcome = attempt(() => carryOut(abort))
      return change.outcome
    }
    const before = [...this.#aborted].filter((each) => each.start < end && start < each.end)
    this.#answer(number, { abort, change, offset }, before.length === 0 ? begin() : outcomes(before).then(begin))
  }

  async #flush(): Promise<void> {
    do {
      await this.drained()
      this.#counters.flushes += 1
      await this.#storage.flush()
      // What was aborted meanwhile is not covered for sure.
    } while (this.#aborted.size > 0)
  }

  #countRead(length: number): void {
    this.#counters.reads += 1
    this.#counters.bytesRead += length
  }

  /** Passes the result of a request to the engine, unless the request is aborted. */
  #answer(number: number, request: Request, outcome: Promise<unknown> | undefined): void {
    this.#requests.set(number, request)
    outcome?.then(
      (value) => {
        if (this.#requests.delete(number)) this.#engine.answer(number, value)
      },
      (exception) => {
        const { offset } = request
        const thrown = offset === undefined ? exception : new ThrownAt(exception, offset)
        if (this.#requests.delete(number)) this.#engine.refuse(number, thrown)
      },
    )
  }
}

/** What stands for a storage that was closed. */
const released: object = {}

/** Resolves when changes are carried out, or have failed. */
async function outcomes(changes: readonly Change[]): Promise<void> {
  await Promise.allSettled(changes.map(({ outcome }) => outcome))
}
