import { onAbort } from '../../base/abort.js'

/** Lets so many tasks run at one time; the others wait in the order in which they came. */
export class Limit {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Runs a task when it is its turn, unless `signal` aborts before. */
  async run<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await this.#turn(signal)
    try {
      return await task()
    } finally {
      this.#next()
    }
  }

  #next(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        ignore()
        resolve()
      }
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1)
        reject(signal?.reason)
      }
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      this.#waiting.push(go)
      const ignore = onAbort(signal, leave)
    })
  }
}
