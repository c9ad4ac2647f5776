/** Serves a request. It settles all errors itself: a rejection is a defect of this package. */
export type Task = () => void | Promise<void>

/**
 * Runs tasks one after another, in the order in which they came. A task that finishes at once, in an idle queue, has finished
 * when {@link Queue.push} returns.
 */
export class Queue {
  readonly #waiting: Task[] = []
  readonly #onSettled: () => void
  #running = 0
  #idle: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  /** `onSettled` is called after each task. */
  constructor(onSettled: () => void) {
    this.#onSettled = onSettled
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
      const promise = new Promise<void>((settle) => {
        resolve = settle
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
          this.#settle()
          this.#drain()
        })
        return
      }
      this.#settle()
    }
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #settle(): void {
    this.#running = 0
    this.#onSettled()
  }
}
