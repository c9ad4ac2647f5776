import type { EngineResolver } from './backing.js'
import { fromEngine, WasmEngine } from './wasm.js'

/** Whom to tell what a task has come to. */
interface Waiting {
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * The JavaScript side of the engine of one image: `src/wasm/host.rs` is the other side.
 *
 * A call of the engine returns its value, or the number of a task where it has to wait.
 */
export class Engine {
  /** The engine itself. */
  readonly wasm: WasmEngine
  readonly #resolve: EngineResolver
  readonly #waiting = new Map<number, Waiting>()

  /** The module must have been loaded. */
  constructor(resolve: EngineResolver) {
    this.wasm = new WasmEngine(this)
    this.#resolve = resolve
  }

  /** Tells `waiting` when a task is over, unless it is cancelled. */
  wait(task: number, waiting: Waiting): void {
    this.#waiting.set(task, waiting)
  }

  /** Drops a task, and tells storages that nobody waits for it. */
  cancel(task: number): void {
    this.#waiting.delete(task)
    this.#enter(() => this.wasm.cancel(task))
  }

  /** Answers a request of the engine. */
  answer(request: number, value: unknown): void {
    this.#enter(() => this.wasm.answer(request, value))
  }

  /** Tells the engine that its request has led to an exception. */
  refuse(request: number, exception: unknown): void {
    this.#enter(() => this.wasm.refuse(request, exception))
  }

  /** Called by the engine: a task has come to a value. */
  done(task: number, value: unknown): void {
    this.#take(task)?.resolve(value)
  }

  /** Called by the engine: a task has failed. */
  failed(task: number, error: unknown): void {
    this.#take(task)?.reject(fromEngine(error))
  }

  /** Called by the engine: it needs a backing file. */
  resolve(request: number, name: string, format: string | undefined, depth: number): void {
    this.#resolve(name, format ?? undefined, depth).then(
      (file) => this.answer(request, file),
      (exception) => this.refuse(request, exception),
    )
  }

  #take(task: number): Waiting | undefined {
    const waiting = this.#waiting.get(task)
    this.#waiting.delete(task)
    return waiting
  }

  /** Calls the engine; if it breaks down, nobody is left waiting. */
  #enter(call: () => void): void {
    try {
      call()
    } catch (error) {
      const left = [...this.#waiting.values()]
      this.#waiting.clear()
      for (const each of left) each.reject(fromEngine(error))
    }
  }
}
