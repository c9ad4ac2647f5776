import { optionsIn } from './arguments.js'
import { invalidArgument } from './errors.js'
import type { WorkerSource } from './start-worker.js'
import type { LazyModuleSource } from './wasm.js'

/** Where a module and the script of its workers come from. What is not given stays as it is. */
export interface Origins {
  /**
   * Where the WebAssembly module comes from: an address, bytes, an answer, a compiled module, a promise of one of them, or
   * a function that returns one and is called when the module is needed. Default: the `.wasm` file next to this package's
   * JavaScript.
   */
  readonly wasm?: LazyModuleSource | undefined
  /**
   * The address of the script of the package's workers, or a function that starts a worker with it. The script is one file
   * that needs no other: `dist/worker/worker.js` of the package, and `dist/files/worker.js` for file systems. Default: that
   * file next to this package's JavaScript.
   */
  readonly worker?: WorkerSource | undefined
}

/** What {@link configure} takes. What is not given stays as it is. */
export interface Configuration extends Origins {
  /**
   * Where the module comes from that only reads, as `wasm`: images that are opened for reading are opened in it, so that a page that
   * changes nothing loads a third. Default: the file `dist/reader/generated/qcow2_web_reader_bg.wasm` of the package; but if `wasm`
   * is given and this is not, all images are opened in the module that `wasm` names.
   */
  readonly reader?: LazyModuleSource | undefined
  /** The same for `qcow2-web/files`, which has a module and workers of its own. */
  readonly files?: FilesOrigins | undefined
}

/** Where the parts of `qcow2-web/files` come from. */
export interface FilesOrigins extends Origins {
  /**
   * Where the module comes from that changes FAT volumes, as `wasm`. Default: the file
   * `dist/files/fat/generated/qcow2_web_fat_bg.wasm` of the package.
   */
  readonly fat?: LazyModuleSource | undefined
  /**
   * Where the module comes from that unlocks encrypted volumes, as `wasm`. Default: the file
   * `dist/files/luks/generated/qcow2_web_luks_bg.wasm` of the package.
   */
  readonly luks?: LazyModuleSource | undefined
}

interface Configured {
  wasm?: LazyModuleSource
  worker?: WorkerSource
}

interface ConfiguredEngine extends Configured {
  reader?: LazyModuleSource
}

interface ConfiguredFiles extends Configured {
  fat?: LazyModuleSource
  luks?: LazyModuleSource
}

/** What was configured, as far as it was: for the engine, and for file systems. */
export const configured: { readonly engine: Readonly<ConfiguredEngine>; readonly files: Readonly<ConfiguredFiles> } = {
  engine: {},
  files: {},
}

/**
 * Sets where the package gets its WebAssembly module and the script of its workers. Few need it: the package finds both by
 * itself where its files are served as they are installed, and most bundlers see to them.
 *
 * Call it before anything else of the package: a module that is loaded, and workers that run, stay.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if something is not of its type. Nothing is set then.
 *
 * @example
 * ```ts
 * configure({ wasm: '/assets/qcow2_web_bg.wasm', worker: '/assets/worker.js' })
 * ```
 */
export function configure(configuration: Configuration): void {
  const { files, reader, ...engine } = optionsIn(configuration, 'The configuration')
  // Nothing is set unless all of it is right.
  const { fat, luks, ...more } = optionsIn(files, 'files')
  const reading = reader !== undefined && { reader: moduleSource(reader, 'reader') }
  const [forEngine, forFiles] = [{ ...originsIn(engine), ...reading }, originsIn(more)]
  const others = {
    ...(fat !== undefined && { fat: moduleSource(fat, 'files.fat') }),
    ...(luks !== undefined && { luks: moduleSource(luks, 'files.luks') }),
  }
  Object.assign(configured.engine, forEngine)
  Object.assign(configured.files, forFiles, others)
}

function originsIn({ wasm, worker }: Origins): Configured {
  if (worker !== undefined && !isWorkerSource(worker)) {
    throw invalidArgument('worker must be the address of a script, or a function that starts a worker.')
  }
  return {
    ...(wasm !== undefined && { wasm: moduleSource(wasm, 'wasm') }),
    ...(worker !== undefined && { worker }),
  }
}

function moduleSource(given: LazyModuleSource, name: string): LazyModuleSource {
  if (typeof given !== 'string' && typeof given !== 'function' && (typeof given !== 'object' || given === null)) {
    const expected = "the module's address, its bytes, an answer, a compiled module, or a function"
    throw invalidArgument(`${name} must be ${expected}.`)
  }
  return given
}

function isWorkerSource(given: unknown): given is WorkerSource {
  return typeof given === 'string' || typeof given === 'function' || given instanceof URL
}
