import type { WritableStorage } from '../base/storage/contract.js'
import { Qcow2 } from '../image/qcow2.js'
import { type Replacement, replacementOf } from '../storage/replacement.js'
import { RawFile } from './raw-file.js'

/** What {@link convert} was asked for. */
interface DestinationOptions {
  readonly existing?: boolean | undefined
  readonly overwrite?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Where the result of a conversion is written: the target itself, or a file beside it that replaces it in the end, so that a
 * conversion that fails leaves the old file as it was.
 */
export class Destination {
  /** What is written, unless that is an open image. */
  readonly storage: WritableStorage
  /** The target while the file beside it is written, so that nothing else changes it. */
  readonly #old: RawFile | undefined
  readonly #replacement: Replacement | undefined
  /** True if a failure can remove what was written. */
  readonly #isNew: boolean

  /** Begins a file beside `target` if the target is to be overwritten and its storage allows that. */
  static async open(target: WritableStorage | Qcow2, options: DestinationOptions): Promise<Destination> {
    const isNew = !(target instanceof Qcow2) && !options.existing
    if (!isNew || !options.overwrite) return new Destination(target as WritableStorage, isNew)
    const replacement = await replacementOf(target)
    if (!replacement) return new Destination(target, isNew)
    return new Destination(replacement.storage, isNew, replacement, await RawFile.open(target, options.signal))
  }

  private constructor(storage: WritableStorage, isNew: boolean, replacement?: Replacement, old?: RawFile) {
    this.storage = storage
    this.#isNew = isNew
    this.#replacement = replacement
    this.#old = old
  }

  /** Replaces the target by what was written, which is closed. */
  async keep(): Promise<void> {
    await this.#old?.close()
    try {
      await this.#replacement?.commit()
    } catch (error) {
      await this.#replacement?.discard().catch(() => {})
      throw error
    }
  }

  /** Takes back what was written, which is closed. */
  async undo(): Promise<void> {
    if (this.#replacement) await this.leave()
    else if (this.#isNew) await empty(this.storage).catch(() => {})
  }

  /** Ends it where nothing was written. */
  async leave(): Promise<void> {
    await this.#old?.close().catch(() => {})
    await this.#replacement?.discard().catch(() => {})
  }
}

async function empty(storage: WritableStorage): Promise<void> {
  const file = await RawFile.open(storage)
  try {
    await file.truncate(0)
  } finally {
    await file.close()
  }
}
