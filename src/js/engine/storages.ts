import { unlessAborted } from '../base/abort.js'
import { Qcow2Error } from '../base/errors.js'
import { checkWritable, explaining, measure, ready } from '../base/storage/access.js'
import { claim, disclaim, type Use } from '../base/storage/claims.js'
import type { Storage } from '../base/storage/contract.js'
import { User } from '../base/storage/user.js'
import type { Engine } from './engine.js'
import { type HostStorage, hostStorage } from './host-storage.js'
import { storageCounters } from './statistics.js'

/** A handle on an image. */
interface Closable {
  close(): Promise<void>
}

/**
 * The storages that an image was opened over, its whole chain, and the engine that uses them; they are closed, and the engine is
 * freed, with the last handle on them.
 */
export class Storages {
  /** What all of them were asked for. */
  readonly counters = storageCounters()
  readonly #opened: { readonly storage: Storage; readonly host: HostStorage | undefined }[] = []
  /** As the storages know it that they are opened for. */
  readonly user: User
  readonly #engine: Engine
  readonly #handles = new Set<Closable>()
  /** What stands for the same storages in other engines. */
  readonly #others: HostStorage[] = []
  #released = false

  /** `signal` aborts the opening. */
  constructor(engine: Engine, signal: AbortSignal | undefined) {
    this.#engine = engine
    this.user = new User(signal)
  }

  /** Closes everything when this handle, and all others, have called `release`. */
  add(handle: Closable): void {
    this.#handles.add(handle)
    this.user.opened(() => Promise.all([...this.#handles].map((each) => each.close())))
  }

  /** Opens a storage and takes it over, unless the opening is aborted before; returns it as the engine knows storages. */
  async open(storage: Storage, use: Use = 'read'): Promise<HostStorage> {
    const { user } = this
    const { signal } = user
    if (use === 'write') checkWritable(storage)
    claim(storage, use)
    await ready(storage, { signal, user, writable: use === 'write' }, () => disclaim(storage))
    if (this.#released) {
      // The opening of the image was aborted while the storage was opened.
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

  /** The image file, which is opened first. */
  get image(): HostStorage {
    return this.#opened[0]?.host as HostStorage
  }

  /** An open storage as another engine knows it, which only reads it. It ends with the others. */
  again(host: HostStorage, engine: Engine): HostStorage {
    const { storage } = this.#opened.find((each) => each.host === host) as { readonly storage: Storage }
    const other = hostStorage(storage, host.size, false, engine, this.counters)
    this.#others.push(other)
    return other
  }

  /** Returns how many bytes the image file takes where it is stored, if its storage knows. The image file is opened first. */
  allocatedSize(): Promise<number | undefined> {
    return explaining('measured', () => this.#opened[0]?.storage.allocatedSize?.())
  }

  /** Closes everything if no other handle is left. No call of the engine may be on the stack. */
  async release(handle?: Closable): Promise<void> {
    if (handle) this.#handles.delete(handle)
    if (this.#handles.size > 0) return
    this.#released = true
    this.#engine.free()
    for (const other of this.#others.splice(0)) other.end()
    const closing = this.#opened.splice(0).map(async ({ storage, host }) => {
      // A write that was aborted may be under way still.
      await host?.drained()
      try {
        await storage.close?.()
      } finally {
        disclaim(storage)
        host?.end()
      }
    })
    try {
      await Promise.all(closing)
    } finally {
      this.user.ended()
    }
  }
}
