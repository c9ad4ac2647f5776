import { Qcow2Error } from './errors.js'
import { fromEngine, Pending } from './wasm.js'

/** The requests of one handle that are in flight. */
export class Tasks {
  readonly #inFlight = new Set<Pending>()
  #closed = false

  /** True from the moment that `close` was called. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * Resolves with what a call of the engine returns, be it at once or later. When `signal` aborts, or on `close`, the
   * request is dropped within the engine, and its storages are told.
   */
  async run<T>(start: () => T | Pending, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const outcome = this.now(start)
    return outcome instanceof Pending ? this.#wait<T>(outcome, signal) : outcome
  }

  /** Returns what a call of the engine returns. */
  now<T>(start: () => T): T {
    if (this.#closed) throw closed()
    try {
      return start()
    } catch (error) {
      throw fromEngine(error)
    }
  }

  /** Drops all requests in flight, which reject with code `CLOSED`, as all later ones do. */
  close(): void {
    this.#closed = true
    for (const pending of this.#inFlight) pending.cancel()
  }

  async #wait<T>(pending: Pending, signal: AbortSignal | undefined): Promise<T> {
    const cancel = () => pending.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    this.#inFlight.add(pending)
    try {
      return await pending.promise
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#closed ? closed() : fromEngine(error)
    } finally {
      signal?.removeEventListener('abort', cancel)
      this.#inFlight.delete(pending)
      pending.free()
    }
  }
}

function closed(): Qcow2Error {
  return new Qcow2Error('CLOSED', 'The image is closed.')
}
