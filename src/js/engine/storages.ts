import { unlessAborted } from '../base/abort.js'
import { codeOf, isQcow2Error, Qcow2Error, wordsOf } from '../base/errors.js'
import { claim, disclaim, type Use } from '../storage/claims.js'
import { isWritable, type Storage } from '../storage/contract.js'
import type { Engine } from './engine.js'
import { type HostStorage, hostStorage, sizeOf } from './host-storage.js'

/** The storages that an image was opened over, its whole chain; they are closed with the last handle on them. */
export class Storages {
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
    opened.host = hostStorage(storage, await unlessAborted(measure(storage), signal), use === 'write', engine)
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

/**
 * Makes a storage ready. It may take as long as another tab, or a server, likes: where `signal` aborts before, nobody waits for
 * it, and it is closed as soon as it is ready.
 *
 * @param failed called when it is clear that it is not in use.
 */
export async function ready(
  storage: Storage,
  signal: AbortSignal | undefined,
  failed: () => void = () => {},
): Promise<void> {
  if (signal?.aborted) {
    failed()
    throw signal.reason
  }
  const opening = (async () => storage.open?.({ signal }))()
  try {
    await unlessAborted(opening, signal)
  } catch (cause) {
    if (!signal?.aborted) {
      failed()
      throw explain('opened', cause)
    }
    opening.then(() => storage.close?.()).then(failed, failed)
    throw signal.reason
  }
}

/** The length of a storage that is open. */
export async function measure(storage: Storage): Promise<number> {
  try {
    return await sizeOf(storage)
  } catch (cause) {
    throw explain('measured', cause)
  }
}

/** Throws unless a storage can be written. */
export function checkWritable(storage: Storage): void {
  if (!isWritable(storage)) throw new Qcow2Error('READ_ONLY', 'The storage can only be read.')
}

/** What a storage threw while it was opened, say, as what this package throws. */
export function explain(what: string, cause: unknown): unknown {
  if (isQcow2Error(cause)) return cause
  return new Qcow2Error(codeOf(cause), `The storage can't be ${what}: ${wordsOf(cause)}.`, { cause })
}
