import { LazyAbort, onAbort } from '../base/abort.js'
import { Qcow2Error } from '../base/errors.js'
import type { Engine } from './engine.js'

/** The calls of the engine that one handle has in flight, and what it asks of storages past the engine. */
export class Tasks {
  readonly #engine: Engine
  /** How to end each of them early. */
  readonly #inFlight = new Set<(reason: unknown) => void>()
  #closed = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** True from the moment that `close` was called. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * Returns what a call of the engine returns, or a promise of it where it has to wait. When `signal` aborts, or on
   * `close`, the call is dropped within the engine, and its requests to storages are aborted.
   */
  run<T>(start: () => T | number, signal?: AbortSignal): T | Promise<T> {
    signal?.throwIfAborted()
    const outcome = this.now(start)
    return typeof outcome === 'number' ? this.#wait<T>(outcome, signal) : outcome
  }

  /** What a storage is asked for past the engine comes to; it is aborted where a call of the engine would be dropped. */
  ask<T>(start: (abort: LazyAbort) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const request = new LazyAbort()
    const drop = () => request.abort()
    return this.#until<T>(signal, drop, ({ resolve, reject }) => start(request).then(resolve, reject))
  }

  /** As `run`, for the one call that comes after `close`. */
  async last<T>(start: () => T | number): Promise<T> {
    const outcome = this.#call(start)
    return typeof outcome === 'number' ? this.#wait<T>(outcome, undefined) : outcome
  }

  /** Returns what a call of the engine returns. */
  now<T>(start: () => T): T {
    if (this.#closed) throw closed()
    return this.#call(start)
  }

  /** Drops all calls in flight, which reject with code `CLOSED`, as all later ones do. */
  close(): void {
    this.#closed = true
    for (const end of [...this.#inFlight]) end(closed())
  }

  #call<T>(start: () => T): T {
    try {
      return start()
    } catch (error) {
      throw this.#engine.error(error)
    }
  }

  #wait<T>(task: number, signal: AbortSignal | undefined): Promise<T> {
    const drop = () => this.#engine.cancel(task)
    return this.#until<T>(signal, drop, (settle) =>
      this.#engine.wait(task, { resolve: (value) => settle.resolve(value as T), reject: settle.reject }),
    )
  }

  /** What is heard by `listen`, unless `signal` aborts before that, or this is closed: then `drop` is called. */
  #until<T>(signal: AbortSignal | undefined, drop: () => void, listen: (settle: Settle<T>) => unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const forget = () => {
        this.#inFlight.delete(end)
        ignore()
      }
      const end = (reason: unknown) => {
        forget()
        reject(reason)
        drop()
      }
      const abort = () => end(signal?.reason)
      const ignore = onAbort(signal, abort)
      this.#inFlight.add(end)
      // A callback may have aborted it during the call.
      if (signal?.aborted) return abort()
      listen({
        resolve(value) {
          forget()
          resolve(value)
        },
        reject(error) {
          forget()
          reject(error)
        },
      })
    })
  }
}

/** Receives a result. */
interface Settle<T> {
  resolve(value: T): void
  reject(error: unknown): void
}

/** The error of what is asked of a closed image. */
export function closed(): Qcow2Error {
  return new Qcow2Error('CLOSED', 'The image is closed.')
}
