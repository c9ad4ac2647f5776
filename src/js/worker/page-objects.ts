import { whenAborted } from '../base/abort.js'
import { claim, disclaim, type Use } from '../base/storage/claims.js'
import { isStorage, isWritable, type Storage } from '../base/storage/contract.js'
import { User } from '../base/storage/user.js'
import { recipeOf } from '../storage/recipe.js'
import type { WorkerMethods } from './protocol.js'
import { Client } from './rpc/client.js'
import { toThrown } from './rpc/thrown.js'
import { type Encoded, mark, replaced, type Token } from './tokens.js'

/** A handle on an image. */
interface Closable {
  close(): Promise<void>
}

/**
 * What an image in a worker has of the page, storages, functions and signals; and the worker itself. It is given back with
 * the last handle.
 */
export class PageObjects {
  readonly client: Client<WorkerMethods>
  /** The numbers of the functions that the worker may call. */
  readonly #functions: number[] = []
  /** All storages that are claimed, and for what. */
  readonly #storages = new Map<Storage, Use>()
  /** The numbers of those that stay here. */
  readonly #staying: number[] = []
  readonly #forget: (() => void)[] = []
  /** What has to be done before what was encoded is sent. */
  readonly #preparations: ((signal: AbortSignal | undefined) => Promise<void>)[] = []
  /** As the storages know it that they are opened for. */
  readonly user: User
  readonly #handles = new Set<Closable>()

  /** `signal` aborts the opening. */
  constructor(worker: true | Worker, signal: AbortSignal | undefined) {
    this.client = Client.acquire(worker === true ? undefined : worker)
    this.user = new User(signal)
  }

  /** Takes everything back when this handle, and all others, have called `release`. */
  add(handle: Closable): void {
    this.#handles.add(handle)
    this.user.opened(() => Promise.all([...this.#handles].map((each) => each.close())))
  }

  /** Takes a storage for `use`, until this ends. */
  claim(storage: Storage, use: Use): void {
    if (this.#storages.has(storage)) return
    claim(storage, use)
    this.#storages.set(storage, use)
  }

  /** `value`, to be sent, unless `signal` aborts before; storages in it that are not claimed yet are claimed for reading. */
  async encode(value: unknown, signal?: AbortSignal): Promise<Encoded> {
    const encoded = this.#encode(value)
    for (const prepare of this.#preparations.splice(0)) await prepare(signal)
    return encoded
  }

  /** Takes everything back if no other handle is left. */
  async release(handle?: Closable): Promise<void> {
    if (handle) this.#handles.delete(handle)
    if (this.#handles.size > 0) return
    for (const forget of this.#forget) forget()
    for (const number of this.#functions) this.client.withdraw(number)
    for (const number of this.#staying) await this.client.storages.remove(number)
    for (const storage of this.#storages.keys()) disclaim(storage)
    this.client.release()
    this.user.ended()
  }

  #encode(value: unknown): Encoded {
    return replaced(value, (part) => {
      if (isStorage(part)) return this.#storage(part)
      if (typeof part === 'function') return this.#function(part as (...args: unknown[]) => unknown)
      if (part instanceof AbortSignal) return this.#signal(part)
      return undefined
    })
  }

  #storage(storage: Storage): Token {
    this.claim(storage, 'read')
    const recipe = recipeOf(storage)
    if (!recipe) return this.#stays(storage)
    const writable = this.#storages.get(storage) === 'write'
    this.#preparations.push(async (signal) => recipe.prepare?.(signal, writable))
    return { [mark]: 'recipe', maker: recipe.maker, args: this.#encode(recipe.args(this.user)) }
  }

  #stays(storage: Storage): Token {
    const writable = isWritable(storage)
    const number = this.client.number()
    this.client.storages.add(number, storage, this.user)
    this.#staying.push(number)
    return { [mark]: 'storage', number, writable }
  }

  #function(callback: (...args: unknown[]) => unknown): Token {
    const number = this.client.provide(async (...args) => this.encode(await callback(...args)))
    this.#functions.push(number)
    return { [mark]: 'function', number }
  }

  #signal(signal: AbortSignal): Token {
    const number = this.client.number()
    const abort = (reason: unknown) => void this.client.port.call('abort', [number, toThrown(reason)]).catch(() => {})
    this.#forget.push(whenAborted({ signal }, abort))
    return { [mark]: 'signal', number }
  }
}
