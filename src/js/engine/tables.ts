import { unlessAborted } from '../base/abort.js'
import type { LongOptions } from '../base/progress.js'
import { Engine } from './engine.js'
import type { Walk } from './handle.js'
import type { HostStorage } from './host-storage.js'
import { ImageCalls } from './image-calls.js'
import type { Instance, WasmImage } from './module.js'
import { hostOpenOptions } from './options/open.js'
import type { Storages } from './storages.js'
import { closed, Tasks } from './tasks.js'

/**
 * An image that is open in the module that only reads, once more in the whole engine: for operations on its tables that the other
 * module lacks. It is opened over the same storages, without the backing files, and never changes.
 */
export class Tables {
  readonly #opening: Promise<ImageCalls>
  #calls: ImageCalls | undefined
  #tasks: Tasks | undefined
  #engine: Engine | undefined
  #closed = false

  /** `data` is the one of the `storages` that holds the disk's data. */
  constructor(storages: Storages, data: HostStorage, editing: () => Promise<Instance>) {
    this.#opening = this.#open(storages, data, editing)
    this.#opening.catch(() => {})
  }

  /** Rejects if it cannot be opened. */
  get opened(): Promise<unknown> {
    return this.#opening
  }

  /** Runs an operation. */
  async run<T>(method: string, args: readonly unknown[], options: LongOptions): Promise<T> {
    const calls = await unlessAborted(this.#opening, options.signal)
    return calls.run(method, args, options)
  }

  /** Begins a walk. */
  walk(method: string, args: readonly unknown[]): Walk {
    const begun = this.#opening.then((calls) => calls.walk(method, args))
    begun.catch(() => {})
    return {
      next: async (limit, signal) => (await unlessAborted(begun, signal)).next(limit, signal),
      free: () => void begun.then((walk) => walk.free()).catch(() => {}),
    }
  }

  /** Drops what is under way, which rejects with code `CLOSED`. */
  close(): void {
    this.#closed = true
    this.#tasks?.close()
  }

  /** Frees it after it was closed. No call of the engine may be on the stack. */
  free(): void {
    this.#calls?.free()
    this.#engine?.free()
  }

  async #open(storages: Storages, data: HostStorage, editing: () => Promise<Instance>): Promise<ImageCalls> {
    const instance = await editing()
    if (this.#closed) throw closed()
    const engine = new Engine(instance, async () => null)
    this.#engine = engine
    const tasks = new Tasks(engine)
    this.#tasks = tasks
    const file = storages.again(storages.image, engine)
    const dataFile = data === storages.image ? undefined : storages.again(data, engine)
    const how = { ...hostOpenOptions({}), dataFile }
    this.#calls = new ImageCalls(await tasks.run<WasmImage>(() => engine.wasm.open(file, how)), tasks)
    return this.#calls
  }
}
