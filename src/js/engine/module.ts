import { Qcow2Error, type Qcow2ErrorCode, sentence, storageFailed } from '../base/errors.js'
import { compileModule, type ModuleSource } from '../base/wasm.js'
import load, { type WasmDiff, WasmEngine, type WasmImage, type WasmMap, WasmPacker } from '../generated/qcow2_web.js'

export type { ModuleSource }
export { type WasmDiff, WasmEngine, type WasmImage, type WasmMap, WasmPacker }

/** What {@link init} takes. */
export interface InitOptions {
  /** The module, or a promise of it. Default: the `.wasm` file next to this package's JavaScript. */
  readonly module_or_path?: ModuleSource | Promise<ModuleSource> | undefined
}

/** Where the module comes from unless `init` is told otherwise. */
let source: () => ModuleSource | Promise<ModuleSource> = besideThisFile
/** The module, compiled, or the attempt to get it. */
let module: Promise<WebAssembly.Module> | undefined
/** The one instance, or the attempt to get it. */
let instance: Promise<void> | undefined

/**
 * Loads the WebAssembly module. Everything in this package does so by itself when it needs to: call this only to load
 * it early, or to say where it is.
 *
 * There is one instance: calls after the first wait for it and their options have no effect. After a failure the next
 * call tries again.
 *
 * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`.
 */
export function init(options: InitOptions = {}): Promise<void> {
  instance ??= instantiate(options.module_or_path).catch((error) => {
    instance = undefined
    throw error
  })
  return instance
}

/**
 * The compiled module; `given` counts for the first who asks.
 *
 * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`; the next call tries again.
 */
export function compiled(given?: InitOptions['module_or_path']): Promise<WebAssembly.Module> {
  module ??= Promise.resolve(given ?? source())
    .then(compileModule)
    .catch((cause) => {
      module = undefined
      throw notLoaded(cause)
    })
  return module
}

/** Sets where the module comes from when `init` isn't told. */
export function setSource(to: () => ModuleSource | Promise<ModuleSource>): void {
  source = to
}

/** What the engine threw, as what this package throws. */
export function fromEngine(thrown: unknown): unknown {
  const own = Qcow2Error.from(thrown)
  if (own) return own
  if (thrown instanceof Error) {
    return new Qcow2Error('ENGINE_FAILED', 'The engine broke down. Please report this.', { cause: thrown })
  }
  const { code, message, offset, depth, file, cause } = thrown as EngineError
  if (code === 'STORAGE') return storageFailed(cause, { words: message, depth })
  return new Qcow2Error(code, sentence(message), { offset, depth, file })
}

/** An error as it crosses the bridge. */
interface EngineError {
  readonly code: Qcow2ErrorCode
  readonly message: string
  readonly offset?: number
  readonly depth?: number
  readonly file?: { readonly name?: string; readonly format?: string }
  readonly cause?: unknown
}

/** Frees something of the engine. After the engine broke down in a call of it, that may be impossible. */
export function free(part: { free(): void }): void {
  try {
    part.free()
  } catch {
    // Its memory leaks, but closing the image must still succeed.
  }
}

async function instantiate(given: InitOptions['module_or_path']): Promise<void> {
  const module_or_path = await compiled(given)
  try {
    await load({ module_or_path })
  } catch (cause) {
    throw notLoaded(cause)
  }
}

function notLoaded(cause: unknown): Qcow2Error {
  const reason = `The WebAssembly module could not be loaded: ${cause instanceof Error ? cause.message : cause}.`
  return new Qcow2Error('LOAD_FAILED', reason, { cause })
}

function besideThisFile(): URL {
  return new URL('../generated/qcow2_web_bg.wasm', import.meta.url)
}
