import { unlessAborted } from '../base/abort.js'
import { isQcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import { checkedStorage, isStorage, type Storage } from '../base/storage/contract.js'
import { Engine } from './engine.js'
import type { HostStorage } from './host-storage.js'
import { type HandleOptions, LocalHandle } from './local-handle.js'
import { type EngineModule, free, type Instance, type WasmEngine, type WasmImage } from './module.js'
import { type Backing, type BackingResolver, resolver } from './options/backing.js'
import { hostOpenOptions, type OpenOptions } from './options/open.js'
import { Passphrases } from './options/passphrase.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { type HostProgress, watched } from './watch.js'

/** The modules that serve an image. */
export interface Modules {
  /** The one in which it is opened. */
  readonly module: EngineModule
  /** Gets the whole engine, for what that one lacks. */
  readonly editing: () => Promise<Instance>
  /** Opens the tables of an image in the whole engine. */
  readonly tables?: HandleOptions['tables']
}

/** The files of an image. */
export interface Files {
  readonly image: Storage
  readonly backing: Backing | readonly Backing[] | BackingResolver | null | undefined
  readonly passphrases: Passphrases
  readonly writable: boolean
}

/** What an opening works with. */
export interface Opening {
  readonly image: HostStorage
  /** Takes another file of the image over. */
  open(storage: Storage): Promise<HostStorage>
  /** Runs a call of the engine. */
  run(call: (engine: WasmEngine, watch: HostProgress | undefined) => WasmImage | number): Promise<WasmImage>
}

/** What an opening comes to: the image, and the storage that holds the disk's data. */
export interface Opened {
  readonly image: WasmImage
  readonly data: HostStorage
}

/** Opens an image with an engine that runs here: see {@link Qcow2.open}. Its files are storages already. */
export async function openWith(modules: Modules, storage: Storage, options: OpenOptions): Promise<LocalHandle> {
  const { backing, dataFile, writable = false } = options
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    backing,
    passphrases: new Passphrases(options.passphrase),
    writable,
  }
  const how = hostOpenOptions(options)
  return start(modules, files, options, async ({ image, open, run }) => {
    const call = (data: HostStorage | undefined) => run((engine) => engine.open(image, { ...how, dataFile: data }))
    try {
      return { image: await call(undefined), data: image }
    } catch (error) {
      // Only now it is known that there is one, and its name.
      const found = await missingDataFile(error, dataFile)
      if (!found) throw error
      const data = await open(checkedStorage(found, 'dataFile'))
      return { image: await call(data), data }
    }
  })
}

/** The data file that an image needs, if opening failed because it is missing and the caller has it. */
async function missingDataFile(error: unknown, dataFile: OpenOptions['dataFile']): Promise<unknown> {
  const missing = isQcow2Error(error) && error.code === 'MISSING_DATA_FILE' && !error.depth
  if (!missing || dataFile === undefined) return undefined
  return typeof dataFile === 'function' && !isStorage(dataFile) ? dataFile({ name: error.file?.name }) : dataFile
}

/** Takes the image file over, and opens the image by `work`; what is open is closed again if that fails. */
export async function start(
  { module, editing, tables }: Modules,
  files: Files,
  options: LongOptions,
  work: (opening: Opening) => Promise<Opened>,
): Promise<LocalHandle> {
  const use = files.writable ? 'write' : 'read'
  const resolve = resolver(files.backing, (each) => storages.open(each), files.passphrases)
  const engine = new Engine(await module.instance(), resolve, files.passphrases)
  const storages = new Storages(engine, options.signal)
  const { signal } = storages.user
  const tasks = new Tasks(engine)
  const run: Opening['run'] = async (call) => {
    const attempt = () => watched(options, (watch) => tasks.run<WasmImage>(() => call(engine.wasm, watch), signal))
    try {
      return await attempt()
    } catch (error) {
      if (!isEncrypted(error) || engine.edits) throw error
      // Over the storages that are open.
      engine.use(await unlessAborted(editing(), signal))
      return attempt()
    }
  }
  try {
    const image = await storages.open(files.image, use)
    const opened = await work({ image, open: (storage) => storages.open(storage, use), run })
    if (signal.aborted) {
      free(opened.image)
      throw signal.reason
    }
    return new LocalHandle(opened.image, engine, storages, opened.data, { writable: files.writable, tables })
  } catch (error) {
    await storages.release().catch(() => {})
    throw files.passphrases.reason(error)
  }
}

/** True of the error of an encrypted file, which the module that only reads cannot open. */
function isEncrypted(error: unknown): boolean {
  return isQcow2Error(error) && error.code === 'UNSUPPORTED_ENCRYPTION'
}
