import { engineModule } from '../base/beside.js'
import { configured } from '../base/configuration.js'
import { Qcow2Error, type Qcow2ErrorCode, sentence, storageFailed } from '../base/errors.js'
import { missingFileAdvice, packageFile } from '../base/package-file.js'
import { compileModule, type ModuleSource } from '../base/wasm.js'
import { type Glue, glue } from '../generated/glue.js'
import type { WasmDiff, WasmEngine, WasmImage, WasmMap, WasmPacker } from '../generated/qcow2_web.js'

export type { WasmDiff, WasmEngine, WasmImage, WasmMap, WasmPacker }

/** A memory of the engine, and the classes over it. */
export type Instance = Pick<Glue, 'instantiate' | 'WasmEngine' | 'WasmPacker'>

/** Where the module is in the package. */
const path = 'dist/generated/qcow2_web_bg.wasm'
/** The module, compiled, or the attempt to get it. */
let module: Promise<WebAssembly.Module> | undefined
/** The instance for everything that is opened from now on. */
let current: Instance | undefined
/** The attempt to make it. */
let making: Promise<void> | undefined

/**
 * Loads the WebAssembly module, from the address given to {@link configure}. Everything in this package does so by itself when it
 * needs to: call this only to load it early.
 *
 * There is one instance: calls after the first wait for it. After a failure the next call tries again.
 *
 * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`.
 *
 * @example
 * ```ts
 * await init() // So that the first image opens sooner.
 * ```
 */
export function init(): Promise<void> {
  making ??= instantiate().catch((error) => {
    making = undefined
    throw error
  })
  return making
}

/** The instance for what is opened now; it is loaded first if need be. */
export async function instance(): Promise<Instance> {
  await init()
  // It may have failed in the meantime.
  return current ?? instance()
}

/**
 * The compiled module.
 *
 * @throws {@link Qcow2Error} `LOAD_FAILED` with the `cause`; the next call tries again.
 */
export function compiled(): Promise<WebAssembly.Module> {
  module ??= source()
    .then(compileModule)
    .catch((cause) => {
      module = undefined
      throw notLoaded(cause)
    })
  return module
}

/**
 * What an instance threw, as what this package throws. An instance that failed may have left its memory in any state: what is open
 * goes on as far as possible, and what is opened next gets another one.
 */
export function fromEngine(thrown: unknown, from: Instance): unknown {
  const own = Qcow2Error.from(thrown)
  if (own) return own
  if (thrown instanceof Error) {
    replace(from)
    return new Qcow2Error('ENGINE_FAILED', failed, { cause: thrown })
  }
  const { code, message, offset, depth, file, cause } = thrown as EngineError
  if (code === 'STORAGE') return storageFailed(cause, { words: message, depth })
  return new Qcow2Error(code, sentence(message), { offset, depth, file })
}

const failed = 'The engine failed because of a defect of this package. Open the image again, and please report this.'

/** Ensures that nothing more is opened in an instance. */
function replace(instance: Instance): void {
  if (current !== instance) return
  current = undefined
  making = undefined
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

/** Frees something of the engine. After the engine failed in a call of it, that may be impossible. */
export function free(part: { free(): void }): void {
  try {
    part.free()
  } catch {
    // Its memory leaks, but closing the image must still succeed.
  }
}

async function source(): Promise<ModuleSource> {
  const { wasm = packageFile(engineModule(), path) } = configured.engine
  return typeof wasm === 'function' ? wasm() : wasm
}

async function instantiate(): Promise<void> {
  const module_or_path = await compiled()
  const made = glue()
  try {
    await made.instantiate({ module_or_path })
  } catch (cause) {
    throw notLoaded(cause)
  }
  current = made
}

function notLoaded(cause: unknown): Qcow2Error {
  const reason = `The WebAssembly module could not be loaded: ${cause instanceof Error ? cause.message : cause}.`
  const advice = configured.engine.wasm === undefined ? ` ${missingFileAdvice('wasm', path, engineModule())}` : ''
  return new Qcow2Error('LOAD_FAILED', `${reason}${advice}`, { cause })
}
