import { follow } from '../abort.js'
import { Qcow2Error } from '../errors.js'
import type { StorageUser } from './contract.js'

/** An image, or a disk, as its storages know it: from the beginning of its opening until it is closed. */
export class User implements StorageUser {
  readonly #stop = new AbortController()
  readonly #ignore: () => void
  readonly #gone: Promise<void>
  #closeOpened: (() => Promise<unknown>) | undefined
  #end = () => {}
  #closed = false

  /** `signal` aborts the opening. */
  constructor(signal: AbortSignal | undefined) {
    this.#ignore = follow(this.#stop, signal)
    this.#gone = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  /** Aborts the opening, and nothing after it. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The opening is over: from now on `close` closes what was opened. */
  opened(close: () => Promise<unknown>): void {
    this.#ignore()
    this.#closeOpened = close
  }

  /** All storages are closed. */
  ended(): void {
    this.#ignore()
    this.#closed = true
    this.#closeOpened = undefined
    this.#end()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    if (this.#closeOpened) await this.#closeOpened()
    else
      this.#stop.abort(
        new Qcow2Error('IN_USE', 'While it was opened, another tab or worker asked for the file, and got it.'),
      )
    await this.#gone
  }
}
