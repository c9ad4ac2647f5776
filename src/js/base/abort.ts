/**
 * Can be aborted, as an `AbortController`, but makes a signal only when one is asked for: few callers do, and a signal costs
 * more than all else that a small read does.
 */
export class LazyAbort {
  #controller: AbortController | undefined
  #call: (() => void) | undefined
  #aborted = false

  /** True from the moment that this was aborted. */
  get aborted(): boolean {
    return this.#aborted
  }

  /** Aborts when this does. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort()
    }
    return this.#controller.signal
  }

  /** Sets the one function that is called when this is aborted. */
  listen(call: () => void): void {
    this.#call = call
    if (this.#aborted) call()
  }

  /** Aborts the signal, and calls the listener. */
  abort(): void {
    this.#aborted = true
    this.#controller?.abort()
    this.#call?.()
  }
}

/** What a promise comes to, unless `signal` aborts before that. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const ignore = whenAborted({ signal }, reject)
    promise.then(resolve, reject).finally(ignore)
  })
}

/** Aborts `controller` when one of some signals does; returns what to call when that is no longer of interest. */
export function follow(controller: AbortController, ...signals: readonly (AbortSignal | undefined)[]): () => void {
  const ignore = signals.map((signal) => signal && whenAborted({ signal }, (reason) => controller.abort(reason)))
  return () => {
    for (const each of ignore) each?.()
  }
}

/**
 * Calls `call` with `target` when `signal` aborts, perhaps immediately, but keeps `target` alive no longer than others do: for what may
 * be left unfinished and forgotten, while the signal of an app lives on.
 *
 * @returns what to call when that is no longer of interest.
 */
export function whileAlive<T extends object>(
  signal: AbortSignal,
  target: T,
  call: (target: T, reason: unknown) => void,
): () => void {
  const weak = new WeakRef(target)
  return whenAborted({ signal }, (reason) => {
    const alive = weak.deref()
    if (alive) call(alive, reason)
  })
}

/** What a storage gets with each request. */
export type Abortable = LazyAbort | { readonly signal: AbortSignal }

/**
 * Calls `call` when a request is aborted, perhaps immediately.
 *
 * @returns what to call when that is no longer of interest.
 */
export function whenAborted(request: Abortable, call: (reason: unknown) => void): () => void {
  if (request instanceof LazyAbort) {
    request.listen(() => call(request.signal.reason))
    return () => {}
  }
  const { signal } = request
  const abort = () => call(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}
