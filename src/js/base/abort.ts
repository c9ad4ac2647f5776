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
  if (!signal.aborted) return onAbort(signal, abort)
  abort()
  return () => {}
}

/** What is called when a signal aborts. */
interface Waiting {
  readonly calls: Set<() => void>
  /** Stops listening. */
  end(): void
}

const waiting = new WeakMap<AbortSignal, Waiting>()

/**
 * Calls `call` when `signal` aborts, as a listener would be called. However many requests share a signal, it has one listener:
 * Node warns of more than ten, and takes longer to remove one of many.
 *
 * @returns what to call when that is no longer of interest; without a signal it does nothing.
 */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  if (!signal) return () => {}
  const { calls, end } = waiting.get(signal) ?? listening(signal)
  // The same function may be given twice.
  const once = () => call()
  calls.add(once)
  return () => {
    if (calls.delete(once) && calls.size === 0) end()
  }
}

function listening(signal: AbortSignal): Waiting {
  const calls = new Set<() => void>()
  const abort = () => {
    end()
    for (const each of [...calls]) if (calls.delete(each)) each()
  }
  const end = () => {
    waiting.delete(signal)
    signal.removeEventListener('abort', abort)
  }
  const found = { calls, end }
  waiting.set(signal, found)
  signal.addEventListener('abort', abort)
  return found
}
