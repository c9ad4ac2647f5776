import { LazyAbort } from './abort.js'
import type { Engine } from './engine.js'
import { isQcow2Error, Qcow2Error } from './errors.js'
import { type AsyncStorage, ask, isSync, type Storage, type SyncStorage } from './storage/types.js'

/** The storages that an image was opened over, its whole chain; they are closed with the last handle on them. */
export class Storages {
  readonly #opened: Storage[] = []
  #handles = 1

  /** Opens a storage and takes it over; returns it as `engine` knows storages. */
  async open(storage: Storage, engine: Engine): Promise<HostStorage> {
    try {
      await storage.open?.()
    } catch (cause) {
      throw explain('opened', cause)
    }
    if (this.#handles === 0) {
      // Nobody waits for it any more: the opening of the image was aborted meanwhile.
      await storage.close?.()
      throw new Qcow2Error('CLOSED', 'The image is closed.')
    }
    this.#opened.push(storage)
    const size = await sizeOf(storage)
    return isSync(storage) ? new SyncHostStorage(storage, size) : new AsyncHostStorage(storage, size, engine)
  }

  /** For one more handle, which calls `release` in its turn. */
  share(): Storages {
    this.#handles += 1
    return this
  }

  /** Closes everything if no other handle is left. */
  async release(): Promise<void> {
    this.#handles -= 1
    if (this.#handles === 0) await Promise.all(this.#opened.map(async (storage) => storage.close?.()))
  }
}

/** A storage as the engine knows it: `src/wasm/host.rs` says what it calls. */
export type HostStorage = SyncHostStorage | AsyncHostStorage

class SyncHostStorage {
  readonly sync = true
  readonly size: number
  readonly #storage: SyncStorage

  constructor(storage: SyncStorage, size: number) {
    this.#storage = storage
    this.size = size
  }

  readSync(offset: number, into: Uint8Array): void {
    this.#storage.readSync(offset, into)
  }
}

class AsyncHostStorage {
  readonly sync = false
  readonly size: number
  readonly #storage: AsyncStorage
  readonly #engine: Engine
  /** The requests under way; those that were aborted are no longer among them, and their answers are not heard. */
  readonly #requests = new Map<number, LazyAbort>()

  constructor(storage: AsyncStorage, size: number, engine: Engine) {
    this.#storage = storage
    this.size = size
    this.#engine = engine
  }

  read(request: number, offset: number, length: number): void {
    const abort = new LazyAbort()
    this.#requests.set(request, abort)
    ask(this.#storage, offset, length, abort).then(
      (bytes) => {
        if (this.#requests.delete(request)) this.#engine.answer(request, bytes)
      },
      (exception) => {
        if (this.#requests.delete(request)) this.#engine.refuse(request, exception)
      },
    )
  }

  abort(request: number): void {
    const abort = this.#requests.get(request)
    this.#requests.delete(request)
    abort?.abort()
  }
}

async function sizeOf(storage: Storage): Promise<number> {
  let size: number
  try {
    size = await storage.size()
  } catch (cause) {
    throw explain('measured', cause)
  }
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new Qcow2Error('STORAGE_CONTRACT', `The storage's size must be an integer from 0; it is ${String(size)}.`)
}

function explain(what: string, cause: unknown): Qcow2Error {
  if (isQcow2Error(cause)) return cause
  const reason = `The storage can't be ${what}: ${cause instanceof Error ? cause.message : String(cause)}.`
  return new Qcow2Error('STORAGE', reason, { cause })
}
