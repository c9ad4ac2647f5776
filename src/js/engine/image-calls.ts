import type { LongOptions } from '../base/progress.js'
import type { Walk } from './handle.js'
import { free, type WasmImage } from './module.js'
import type { Tasks } from './tasks.js'
import { type HostProgress, watched } from './watch.js'

/** A walk as the engine has it. */
interface WasmWalk {
  next(limit: number): Float64Array | number
  free(): void
}

/** Calls the methods of an image by their names, which depend on the module that has it. */
export class ImageCalls {
  readonly #image: WasmImage
  readonly #tasks: Tasks
  /** The walks that are not over: each holds the image within the engine. */
  readonly #walks = new Set<WasmWalk>()

  constructor(image: WasmImage, tasks: Tasks) {
    this.#image = image
    this.#tasks = tasks
  }

  /** Returns whether the image's module has a method. */
  has(method: string): boolean {
    return method in this.#image
  }

  /** Runs an operation. Those without progress ignore their last parameter. */
  run<T>(method: string, args: readonly unknown[], options: LongOptions): Promise<T> {
    const start = (watch: HostProgress | undefined) => this.#methods[method]?.(...args, watch) as T | number
    return watched(options, (watch, signal) => this.#tasks.run<T>(() => start(watch), signal))
  }

  /** Begins a walk. */
  walk(method: string, args: readonly unknown[]): Walk {
    const walk = this.#tasks.now(() => this.#methods[method]?.(...args) as WasmWalk)
    this.#walks.add(walk)
    return {
      next: (limit, signal) => this.#tasks.run<Float64Array>(() => walk.next(limit), signal),
      free: () => {
        if (this.#walks.delete(walk)) free(walk)
      },
    }
  }

  /** Frees the image and its walks. No call of the engine may be on the stack. */
  free(): void {
    for (const walk of this.#walks) free(walk)
    this.#walks.clear()
    free(this.#image)
  }

  get #methods(): Record<string, (...args: readonly unknown[]) => unknown> {
    return this.#image as unknown as Record<string, (...args: readonly unknown[]) => unknown>
  }
}
