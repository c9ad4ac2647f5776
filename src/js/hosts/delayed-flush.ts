import { integer } from '../base/arguments.js'
import type { Qcow2 } from '../index.js'

/** How long a write waits for its flush, in milliseconds, by the caller's option. */
export function delay(flushDelay: number | undefined): number {
  // Timers count no further.
  return Math.min(integer(flushDelay ?? 1000, 'flushDelay'), 2 ** 31 - 1)
}

/** Flushes a synchronous image some time after writes, for programs that never flush their disks. */
export class DelayedFlush {
  readonly #image: Qcow2
  readonly #delay: number
  readonly #onError: (error: unknown) => void
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the first write came that no flush has made durable. */
  #since: number | undefined

  /**
   * @param delay how long a write waits for its flush, in milliseconds.
   * @param onError is called with what such a flush throws: no caller waits for it.
   */
  constructor(image: Qcow2, delay: number, onError: (error: unknown) => void) {
    this.#image = image
    this.#delay = delay
    this.#onError = onError
  }

  /** Something was written. */
  written(): void {
    this.#since ??= performance.now()
    this.#timer ??= setTimeout(() => this.#flush(), this.#delay)
    // The timer of a program that never waits does not fire.
    if (performance.now() - this.#since > 2 * this.#delay) this.#flush()
  }

  /** Makes durable what was written. */
  now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#since = undefined
    if (!this.#image.readOnly) this.#image.flushSync()
  }

  #flush(): void {
    try {
      this.now()
    } catch (error) {
      this.#onError(error)
    }
  }
}

/** Reports an exception as uncaught, because no caller waits for it. */
export function reportUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
