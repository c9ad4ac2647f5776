/** How long no write may have come before a disk flushes by itself, in milliseconds. */
const quiet = 50
/** The same, for a guest that flushes its drive: its own flushes show which writes belong together. */
const quietBehindGuest = 1000
/** How long a write waits for a flush at most, while others follow it, in milliseconds. */
const longest = 2000

/** The moments at which a disk flushes without being asked: after a burst of writes, and when the page may end. */
export class FlushPoints {
  /** True for a guest that has flushed its drive. */
  guestFlushes = false
  readonly #flush: () => void
  readonly #page: EventTarget[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #since = 0

  constructor(flush: () => void) {
    this.#flush = flush
    // In a worker there is no page; there the timer alone flushes.
    const page = [globalThis.document, globalThis.window].filter((each) => each !== undefined)
    this.#page.push(...page)
    for (const target of this.#page)
      for (const event of ['visibilitychange', 'pagehide']) target.addEventListener(event, this.#leaving)
  }

  /** Something was written. */
  written(): void {
    const now = performance.now()
    if (this.#timer === undefined) this.#since = now
    clearTimeout(this.#timer)
    const wait = Math.min(this.guestFlushes ? quietBehindGuest : quiet, Math.max(0, this.#since + longest - now))
    this.#timer = setTimeout(() => this.now(), wait)
  }

  /** Flushes now. */
  now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flush()
  }

  stop(): void {
    clearTimeout(this.#timer)
    for (const target of this.#page)
      for (const event of ['visibilitychange', 'pagehide']) target.removeEventListener(event, this.#leaving)
  }

  readonly #leaving = (event: Event) => {
    if (event.type === 'pagehide' || globalThis.document?.visibilityState === 'hidden') this.now()
  }
}
