import { isQcow2Error, Qcow2Error } from './errors.js'
import type { Storage } from './storage/types.js'

/** The storages that an image was opened over, its whole chain; they are closed with the last handle on them. */
export class Storages {
  readonly #opened: Storage[] = []
  #handles = 1

  /** Opens a storage and takes it over. */
  async open(storage: Storage): Promise<Storage> {
    try {
      await storage.open?.()
    } catch (cause) {
      throw isQcow2Error(cause)
        ? cause
        : new Qcow2Error('STORAGE', `The storage can't be opened: ${text(cause)}.`, { cause })
    }
    if (this.#handles === 0) {
      // Nobody waits for it any more: the opening of the image was aborted meanwhile.
      await storage.close?.()
      throw new Qcow2Error('CLOSED', 'The image is closed.')
    }
    this.#opened.push(storage)
    return storage
  }

  /** For one more handle, which calls `release` in its turn. */
  share(): Storages {
    this.#handles += 1
    return this
  }

  /** Closes everything if no other handle is left. */
  async release(): Promise<void> {
    this.#handles -= 1
    if (this.#handles === 0) await Promise.all(this.#opened.map(async (storage) => storage.close?.()))
  }
}

function text(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
