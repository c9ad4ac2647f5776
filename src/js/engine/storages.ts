import { unlessAborted } from '../base/abort.js'
import { Qcow2Error } from '../base/errors.js'
import { checkWritable, measure, ready } from '../base/storage/access.js'
import { claim, disclaim, type Use } from '../base/storage/claims.js'
import type { Storage } from '../base/storage/contract.js'
import type { Engine } from './engine.js'
import { type HostStorage, hostStorage } from './host-storage.js'
import { storageCounters } from './statistics.js'

/**
 * The storages that an image was opened over, its whole chain, and the engine that uses them; they are closed, and the engine is
 * freed, with the last handle on them.
 */
export class Storages {
  /** What all of them were asked for. */
  readonly counters = storageCounters()
  readonly #opened: { readonly storage: Storage; readonly host: HostStorage | undefined }[] = []
  readonly #engine: Engine
  #handles = 1

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Opens a storage and takes it over, unless `signal` aborts before; returns it as the engine knows storages. */
  async open(storage: Storage, use: Use = 'read', signal?: AbortSignal): Promise<HostStorage> {
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
      this.#engine,
      this.counters,
    )
    return opened.host
  }

  /** For one more handle, which calls `release` in its turn. */
  share(): Storages {
    this.#handles += 1
    return this
  }

  /** Closes everything if no other handle is left. No call of the engine may be on the stack. */
  async release(): Promise<void> {
    this.#handles -= 1
    if (this.#handles > 0) return
    this.#engine.free()
    const closing = this.#opened.splice(0).map(async ({ storage, host }) => {
      // A write that was aborted may be under way still.
      await host?.settled()
      try {
        await storage.close?.()
      } finally {
        disclaim(storage)
        host?.end()
      }
    })
    await Promise.all(closing)
  }
}
