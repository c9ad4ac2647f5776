import { unlessAborted } from '../base/abort.js'
import { Qcow2Error } from '../base/errors.js'
import { checkWritable, measure, ready } from '../base/storage/access.js'
import { claim, disclaim, type Use } from '../base/storage/claims.js'
import type { Storage } from '../base/storage/contract.js'
import type { Engine } from './engine.js'
import { type HostStorage, hostStorage } from './host-storage.js'
import { storageCounters } from './statistics.js'

/** The storages that an image was opened over, its whole chain; they are closed with the last handle on them. */
export class Storages {
  /** What all of them were asked for. */
  readonly counters = storageCounters()
  readonly #opened: { readonly storage: Storage; readonly host: HostStorage | undefined }[] = []
  #handles = 1

  /** Opens a storage and takes it over, unless `signal` aborts before; returns it as `engine` knows storages. */
  async open(storage: Storage, engine: Engine, use: Use = 'read', signal?: AbortSignal): Promise<HostStorage> {
    if (use === 'write') checkWritable(storage)
    claim(storage, use)
    await ready(storage, signal, () => disclaim(storage))
    if (this.#handles === 0) {
      // Nobody waits for it any more: the opening of the image was aborted meanwhile.
      disclaim(storage)
      await storage.close?.()
      throw new Qcow2Error('CLOSED', 'The image is closed.')
    }
    const opened: { storage: Storage; host: HostStorage | undefined } = { storage, host: undefined }
    this.#opened.push(opened)
    opened.host = hostStorage(
      storage,
      await unlessAborted(measure(storage), signal),
      use === 'write',
      engine,
      this.counters,
    )
    return opened.host
  }

  /** For one more handle, which calls `release` in its turn. */
  share(): Storages {
    this.#handles += 1
    return this
  }

  /** Closes everything if no other handle is left. */
  async release(): Promise<void> {
    this.#handles -= 1
    if (this.#handles > 0) return
    const closing = this.#opened.map(async ({ storage, host }) => {
      // A write that was aborted may be under way still.
      await host?.settled()
      try {
        await storage.close?.()
      } finally {
        disclaim(storage)
      }
    })
    await Promise.all(closing)
  }
}
