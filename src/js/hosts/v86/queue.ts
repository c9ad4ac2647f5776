/** Serves a request. It handles all errors itself: a rejection is a defect of this package. */
export type Task = () => void | Promise<void>

/**
 * Runs tasks one after another, in the order in which they came. A task that does not wait, in an idle queue, has
 * finished when {@link Queue.push} returns.
 */
export class Queue {
  readonly #waiting: Task[] = []
  readonly #onFinished: () => void
  #running = 0
  #idle: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  /** `onFinished` is called after each task. */
  constructor(onFinished: () => void) {
    this.#onFinished = onFinished
  }

  /** How many tasks have not finished. */
  get pending(): number {
    return this.#waiting.length + this.#running
  }

  push(task: Task): void {
    this.#waiting.push(task)
    // A task may push others: they run after it, not inside it.
    if (this.#running === 0) this.#drain()
  }

  /** Waits until no task is pending. */
  idle(): Promise<void> {
    if (this.pending === 0) return Promise.resolve()
    if (!this.#idle) {
      let resolve = () => {}
      const promise = new Promise<void>((done) => {
        resolve = done
      })
      this.#idle = { promise, resolve }
    }
    return this.#idle.promise
  }

  #drain(): void {
    for (;;) {
      const task = this.#waiting.shift()
      if (!task) break
      this.#running = 1
      const running = task()
      if (running) {
        void running.finally(() => {
          this.#finish()
          this.#drain()
        })
        return
      }
      this.#finish()
    }
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #finish(): void {
    this.#running = 0
    this.#onFinished()
  }
}
