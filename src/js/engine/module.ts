import { configured } from '../base/configuration.js'
import { isQcow2Error, Qcow2Error, type Qcow2ErrorCode, sentence, storageFailed } from '../base/errors.js'
import { missingFileAdvice, packageFile } from '../base/package-file.js'
import { compileModule, type ModuleSource } from '../base/wasm.js'
import type { Glue } from '../generated/glue.js'
import type { WasmDiff, WasmEngine, WasmImage, WasmMap, WasmPacker } from '../generated/qcow2_web.js'

export type { WasmDiff, WasmEngine, WasmImage, WasmMap, WasmPacker }

/** A memory of the engine, and the classes over it. The module that only reads has fewer methods, and no `WasmPacker`. */
export type Classes = Pick<Glue, 'instantiate' | 'WasmEngine' | 'WasmPacker'>

/** An instance of a module. */
export interface Instance extends Classes {
  /** Ensures that nothing more is opened in it, because it failed. */
  retire(): void
}

/** Where a module comes from. */
export interface ModuleOrigin {
  /** Makes the classes over a new memory. */
  readonly glue: () => Classes
  /** The member of {@link configure}'s argument that names another address. */
  readonly option: 'wasm' | 'reader'
  /** Where the module is in the package. */
  readonly path: string
  /** Its address. */
  readonly address: () => URL
}

/**
 * A WebAssembly module of the engine: loads it once, and has one instance of it for everything that is opened. After a failure the
 * next call tries again.
 */
export class EngineModule {
  readonly #origin: ModuleOrigin
  /** The module, compiled, or the attempt to get it. */
  #module: Promise<WebAssembly.Module> | undefined
  /** The instance for everything that is opened from now on. */
  #current: Instance | undefined
  /** The attempt to make it. */
  #making: Promise<void> | undefined

  constructor(origin: ModuleOrigin) {
    this.#origin = origin
  }

  /** True if the module is loaded, or being loaded. */
  get begun(): boolean {
    return this.#module !== undefined
  }

  /**
   * Makes the instance, if there is none.
   *
   * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`.
   */
  init(): Promise<void> {
    this.#making ??= this.#instantiate().catch((error) => {
      this.#making = undefined
      throw error
    })
    return this.#making
  }

  /** The instance for what is opened now; it is loaded first if need be. */
  async instance(): Promise<Instance> {
    await this.init()
    // It may have failed in the meantime.
    return this.#current ?? this.instance()
  }

  /**
   * The compiled module.
   *
   * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`.
   */
  compiled(): Promise<WebAssembly.Module> {
    this.#module ??= this.#source()
      .then(compileModule)
      .catch((cause) => {
        this.#module = undefined
        throw this.#notLoaded(cause)
      })
    return this.#module
  }

  async #source(): Promise<ModuleSource> {
    const { option, address, path } = this.#origin
    const source = configured.engine[option] ?? packageFile(address(), path)
    return typeof source === 'function' ? source() : source
  }

  async #instantiate(): Promise<void> {
    const module_or_path = await this.compiled()
    const classes = this.#origin.glue()
    try {
      await classes.instantiate({ module_or_path })
    } catch (cause) {
      throw this.#notLoaded(cause)
    }
    const made: Instance = { ...classes, retire: () => this.#retire(made) }
    this.#current = made
  }

  #retire(instance: Instance): void {
    if (this.#current !== instance) return
    this.#current = undefined
    this.#making = undefined
  }

  #notLoaded(cause: unknown): Qcow2Error {
    // A worker has its modules from the page, which has said it.
    if (isQcow2Error(cause) && cause.code === 'LOAD_FAILED') return cause
    const { option, address, path } = this.#origin
    const reason = `The WebAssembly module could not be loaded: ${cause instanceof Error ? cause.message : cause}.`
    const advice = configured.engine[option] === undefined ? ` ${missingFileAdvice(option, path, address())}` : ''
    return new Qcow2Error('LOAD_FAILED', `${reason}${advice}`, { cause })
  }
}

/**
 * What an instance threw, as what this package throws. An instance that failed may have left its memory in any state: what is open
 * goes on as far as possible, and what is opened next gets another one.
 */
export function fromEngine(thrown: unknown, from: Instance): unknown {
  const own = Qcow2Error.from(thrown)
  if (own) return own
  if (thrown instanceof Error) {
    from.retire()
    return new Qcow2Error('ENGINE_FAILED', failed, { cause: thrown })
  }
  const { code, message, offset, depth, file, cause } = thrown as EngineError
  if (code === 'STORAGE') return storageFailed(cause, { words: message, depth })
  return new Qcow2Error(code, sentence(message), { offset, depth, file })
}

const failed = 'The engine failed because of a defect of this package. Open the image again, and please report this.'

/** An error as it crosses the bridge. */
interface EngineError {
  readonly code: Qcow2ErrorCode
  readonly message: string
  readonly offset?: number
  readonly depth?: number
  readonly file?: { readonly name?: string; readonly format?: string }
  readonly cause?: unknown
}

/** Frees something of the engine. After the engine failed in a call of it, that may be impossible. */
export function free(part: { free(): void }): void {
  try {
    part.free()
  } catch {
    // Its memory leaks, but closing the image must still succeed.
  }
}
