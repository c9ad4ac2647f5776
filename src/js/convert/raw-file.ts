import { checkWritable, explaining, measure, ready } from '../base/storage/access.js'
import { claim, disclaim } from '../base/storage/claims.js'
import { isSync, type WritableStorage } from '../base/storage/contract.js'
import { User } from '../base/storage/user.js'
import { diskClosed } from '../disk/base-disk.js'

/** A file that is written as it is, with no image in it. */
export class RawFile {
  readonly #storage: WritableStorage
  readonly #user: User
  #closing: Promise<void> | undefined

  /** Takes the storage over, until this is closed; unless `signal` aborts before. */
  static async open(storage: WritableStorage, signal?: AbortSignal): Promise<RawFile> {
    checkWritable(storage)
    claim(storage, 'write')
    const user = new User(signal)
    await ready(storage, { signal: user.signal, user, writable: true }, () => {
      disclaim(storage)
      user.ended()
    })
    return new RawFile(storage, user)
  }

  private constructor(storage: WritableStorage, user: User) {
    this.#storage = storage
    this.#user = user
    user.opened(() => this.close())
  }

  size(): Promise<number> {
    return measure(this.#storage)
  }

  /** Writes bytes, which must not change later. */
  async write(offset: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    this.#open()
    const storage = this.#storage
    await explaining('written', () =>
      isSync(storage) ? storage.writeSync(offset, bytes) : storage.write(offset, bytes, { signal }),
    )
  }

  async truncate(size: number): Promise<void> {
    this.#open()
    const storage = this.#storage
    await explaining('resized', () => (isSync(storage) ? storage.truncateSync(size) : storage.truncate(size)))
  }

  /** Makes durable what was written, and closes. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Another tab may have been given the file. */
  #open(): void {
    if (this.#closing) throw diskClosed()
  }

  async #close(): Promise<void> {
    const storage = this.#storage
    try {
      await explaining('flushed', () => (isSync(storage) ? storage.flushSync() : storage.flush()))
    } finally {
      disclaim(storage)
      await storage.close?.()
      this.#user.ended()
    }
  }
}
