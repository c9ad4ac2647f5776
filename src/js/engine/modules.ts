import { engineModule } from '../base/beside.js'
import { configured } from '../base/configuration.js'
import { glue } from '../generated/glue.js'
import { EngineModule, type Instance } from './module.js'
import { reader } from './reader.js'

/** The module with the whole engine. */
export const editor = /* @__PURE__ */ new EngineModule({
  glue,
  option: 'wasm',
  path: 'dist/generated/qcow2_web_bg.wasm',
  address: engineModule,
})

/** What {@link init} loads. */
export interface InitOptions {
  /**
   * Loads the module with the whole engine, for what is more than reading: an image that is opened for writing, an encrypted one,
   * and what creates, checks, inspects, repairs or converts. Default: false, the module that reads.
   */
  readonly writable?: boolean | undefined
}

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
export function init({ writable }: InitOptions = {}): Promise<void> {
  return moduleFor(writable ?? false).init()
}

/**
 * The module in which an image is opened: the whole engine if it is `writable`. Otherwise the one that reads, unless the whole engine
 * is there already, or is the only one that {@link configure} was given.
 */
export function moduleFor(writable: boolean): EngineModule {
  const { wasm, reader: given } = configured.engine
  return writable || editor.begun || (wasm !== undefined && given === undefined) ? editor : reader
}

/** The instance of the whole engine. */
export function editing(): Promise<Instance> {
  return editor.instance()
}
