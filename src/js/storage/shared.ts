import { unlessAborted } from '../base/abort.js'
import { Qcow2Error } from '../base/errors.js'
import type { StorageOpenOptions, StorageUser } from '../base/storage/contract.js'
import type { Claiming, Unlock } from './held-lock.js'

/** From an opening for the first user to the closing after the last. */
interface Session<T> {
  users: number
  /** Whether it was opened for writing. */
  readonly writable: boolean
  /** What it was opened for, as far as that is known. */
  readonly openers: Set<StorageUser>
  /** Missing until it is open. */
  opened: T | undefined
  readonly opening: Promise<{ readonly opened: T; readonly unlock: Unlock }>
  /** Ends the opening. */
  readonly abort: AbortController
}

/** Opens something, for writing if it is `writable`, unless `signal` aborts before. */
type Open<T> = (signal: AbortSignal, writable: boolean) => Promise<T>

/**
 * Something that is open while at least one image uses it: opened for the first, closed after the last. Where a user's signal
 * aborts, that one doesn't wait for the opening; if no user is left that waits, the opening itself is aborted.
 */
export class Shared<T> {
  readonly #open: Open<T>
  readonly #close: (opened: T) => void | Promise<void>
  readonly #lock: Claiming
  #session: Session<T> | undefined
  /** Settles when nothing is left of the sessions before. */
  #ended: Promise<void> = Promise.resolve()

  /** Takes `lock` before it is opened, and releases it after it is closed. */
  constructor(open: Open<T>, close: (opened: T) => void | Promise<void> = () => {}, lock: Claiming = async () => free) {
    this.#open = open
    this.#close = close
    this.#lock = lock
  }

  /** What was opened; an exception if nothing is. */
  get current(): T {
    const { opened } = this.#session ?? {}
    if (opened !== undefined) return opened
    throw new Qcow2Error('CLOSED', 'The storage is not open: its open() comes first.')
  }

  /** What was opened; an exception if nothing is, or if it was opened for reading only. */
  get writable(): T {
    const { current } = this
    if (this.#session?.writable) return current
    throw new Qcow2Error('READ_ONLY', 'The storage is open for reading only. Open it with writable: true.')
  }

  async open({ signal, user, writable = false }: StorageOpenOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#session ??= this.#begin(writable)
    const session = this.#session
    if (writable && !session.writable)
      throw new Qcow2Error('IN_USE', 'The storage is already open for reading. Close what reads it first.')
    session.users += 1
    if (user) session.openers.add(user)
    try {
      await unlessAborted(session.opening, signal)
    } catch (error) {
      if (user) session.openers.delete(user)
      const left = this.#leave(session)
      if (session.users === 0) session.abort.abort(error)
      await left.catch(() => {})
      throw error
    }
  }

  /** Also while it is opened: then it is closed as soon as it is open. */
  async close(): Promise<void> {
    if (this.#session) await this.#leave(this.#session)
  }

  #begin(writable: boolean): Session<T> {
    const abort = new AbortController()
    const openers = new Set<StorageUser>()
    const opening = this.#ended.then(() => this.#take(abort.signal, writable, this.#userOf(openers)))
    const session: Session<T> = { users: 0, writable, openers, opened: undefined, opening, abort }
    opening.then(
      ({ opened }) => {
        session.opened = opened
      },
      () => this.#forget(session),
    )
    return session
  }

  /** All of a session as one user. A user that opened it without an image has the storage itself closed. */
  #userOf(openers: ReadonlySet<StorageUser>): StorageUser {
    const all = () => [...openers].filter((each) => !each.closed)
    return {
      get closed() {
        return all().length === 0
      },
      close: async () => {
        if (openers.size === 0) await this.close()
        else await Promise.all(all().map((each) => each.close()))
      },
    }
  }

  async #take(
    signal: AbortSignal,
    writable: boolean,
    user: StorageUser,
  ): Promise<{ readonly opened: T; readonly unlock: Unlock }> {
    const unlock = await this.#lock(signal, user, writable)
    try {
      return { opened: await this.#open(signal, writable), unlock }
    } catch (error) {
      await unlock()
      throw error
    }
  }

  /** One user less; after the last it is closed, whatever becomes of its opening. */
  async #leave(session: Session<T>): Promise<void> {
    session.users -= 1
    for (const each of session.openers) if (each.closed) session.openers.delete(each)
    if (session.users !== 0) return
    this.#forget(session)
    const ending = this.#end(session)
    this.#ended = ending.catch(() => {})
    await ending
  }

  async #end({ opening }: Session<T>): Promise<void> {
    const { opened, unlock } = await opening
    try {
      await this.#close(opened)
    } finally {
      await unlock()
    }
  }

  #forget(session: Session<T>): void {
    if (this.#session === session) this.#session = undefined
  }
}

const free: Unlock = async () => {}
