import { deriveKey, fillRandom } from './crypto.js'
import { free, fromEngine, type Instance, type WasmEngine } from './module.js'
import type { EngineResolver } from './options/backing.js'
import { Passphrases } from './options/passphrase.js'
import { nextTurn } from './time-slices.js'

/** The caller that waits for a task. */
interface Waiting {
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * The JavaScript side of the engine of one image: `src/bridge/host.rs` is the other side.
 *
 * A call of the engine returns its value, or the number of a task where it has to wait.
 *
 * The two sides hold each other, so that no garbage collection can find either of them: {@link Storages} frees the engine with
 * the last handle on the image, and with it all that it holds of JavaScript.
 */
export class Engine {
  #wasm: WasmEngine
  #resolve: EngineResolver
  #passphrases: Passphrases
  #instance: Instance
  #freed = false
  readonly #waiting = new Map<number, Waiting>()

  constructor(instance: Instance, resolve: EngineResolver, passphrases = new Passphrases()) {
    this.#instance = instance
    this.#wasm = new instance.WasmEngine(this)
    this.#resolve = resolve
    this.#passphrases = passphrases
  }

  /** The engine itself. */
  get wasm(): WasmEngine {
    return this.#wasm
  }

  /** True if it is the whole engine, and not that which only reads. */
  get edits(): boolean {
    return 'create' in this.#wasm
  }

  /** Goes on in another module. Nothing may be under way, and nothing of the engine may be left: storages stay open. */
  use(instance: Instance): void {
    free(this.#wasm)
    this.#instance = instance
    this.#wasm = new instance.WasmEngine(this)
  }

  /**
   * Frees the other side. Nothing may be asked of it any more; answers that come later are not heard. No call of the engine may be
   * on the stack.
   */
  free(): void {
    if (this.#freed) return
    this.#freed = true
    this.#waiting.clear()
    this.#resolve = async () => undefined
    this.#passphrases = new Passphrases()
    free(this.wasm)
  }

  /** What the engine threw, as what this package throws. */
  error(thrown: unknown): unknown {
    return fromEngine(thrown, this.#instance)
  }

  /** Calls `waiting` when a task is over, unless it is cancelled. */
  wait(task: number, waiting: Waiting): void {
    this.#waiting.set(task, waiting)
  }

  /** Drops a task, and aborts its requests to storages. */
  cancel(task: number): void {
    this.#waiting.delete(task)
    this.#enter(() => this.wasm.cancel(task))
  }

  /** Answers a request of the engine. */
  answer(request: number, value: unknown): void {
    this.#enter(() => this.wasm.answer(request, value))
  }

  /** Passes an exception to the engine, which a request of it led to. */
  refuse(request: number, exception: unknown): void {
    this.#enter(() => this.wasm.refuse(request, exception))
  }

  /** Called by the engine: a task has come to a value. */
  done(task: number, value: unknown): void {
    this.#take(task)?.resolve(value)
  }

  /** Called by the engine: a task has failed. */
  failed(task: number, error: unknown): void {
    this.#take(task)?.reject(this.error(error))
  }

  /** Called by the engine: it needs a backing file. */
  resolve(request: number, name: string, format: string | undefined, depth: number): void {
    this.#reply(request, this.#resolve(name, format ?? undefined, depth))
  }

  /** Called by the engine: it needs a passphrase, in an array that it wipes. */
  passphrase(request: number, depth: number, format: 'luks' | 'aes'): void {
    this.#reply(request, this.#passphrases.answer(depth, format))
  }

  /** Called by the engine: it needs a key, in an array that it wipes; `undefined` makes it derive the key itself. */
  derive(
    request: number,
    hash: string,
    password: Uint8Array<ArrayBuffer>,
    salt: Uint8Array<ArrayBuffer>,
    iterations: number,
    length: number,
  ): void {
    this.#reply(request, deriveKey(hash, password, salt, iterations, length))
  }

  /** Called by the engine: it has worked for a while, and lets others have their turn. */
  pause(request: number): void {
    this.#reply(request, nextTurn())
  }

  /** Called by the engine: it needs random bytes. */
  random(into: Uint8Array<ArrayBuffer>): void {
    fillRandom(into)
  }

  /** Called by the engine: milliseconds since any moment. */
  now(): number {
    return performance.now()
  }

  #reply(request: number, answer: Promise<unknown>): void {
    answer.then(
      (value) => this.answer(request, value),
      (exception) => this.refuse(request, exception),
    )
  }

  #take(task: number): Waiting | undefined {
    const waiting = this.#waiting.get(task)
    this.#waiting.delete(task)
    return waiting
  }

  /** Calls the engine. If the engine fails, every task that waits rejects. */
  #enter(call: () => void): void {
    if (this.#freed) return
    try {
      call()
    } catch (error) {
      const left = [...this.#waiting.values()]
      this.#waiting.clear()
      for (const each of left) each.reject(this.error(error))
    }
  }
}
