import { Qcow2Error } from '../errors.js'
import type { Unlock } from './lock.js'

/** Something that is open while at least one image uses it: opened for the first, closed after the last. */
export class Shared<T> {
  readonly #open: () => Promise<T>
  readonly #close: (opened: T) => void | Promise<void>
  readonly #lock: () => Promise<Unlock>
  #unlock: Unlock = free
  #users = 0
  #opening: Promise<T> | undefined
  #opened: T | undefined

  /** `lock` is taken before it is opened, and let go after it is closed. */
  constructor(
    open: () => Promise<T>,
    close: (opened: T) => void | Promise<void> = () => {},
    lock: () => Promise<Unlock> = async () => free,
  ) {
    this.#open = open
    this.#close = close
    this.#lock = lock
  }

  /** What was opened; an exception if nothing is. */
  get current(): T {
    if (this.#opened !== undefined) return this.#opened
    throw new Qcow2Error('CLOSED', 'The storage is not open: its open() comes first.')
  }

  async open(): Promise<void> {
    this.#users += 1
    this.#opening ??= this.#begin()
    const opening = this.#opening
    try {
      const opened = await opening
      // Who closed it meanwhile has closed it for good, unless somebody else is using it.
      if (this.#opening === opening) this.#opened = opened
    } catch (error) {
      this.#users -= 1
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
  }

  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    const opening = this.#opening
    this.#opened = undefined
    this.#opening = undefined
    if (opening) await this.#end(await opening)
  }

  async #begin(): Promise<T> {
    const unlock = await this.#lock()
    try {
      const opened = await this.#open()
      this.#unlock = unlock
      return opened
    } catch (error) {
      await unlock()
      throw error
    }
  }

  async #end(opened: T): Promise<void> {
    const unlock = this.#unlock
    try {
      await this.#close(opened)
    } finally {
      await unlock()
    }
  }
}

const free: Unlock = async () => {}
