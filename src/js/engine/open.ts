import { flag, optionsIn } from '../base/arguments.js'
import { isQcow2Error, Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { checkedStorage, isStorage } from '../base/storage/contract.js'
import { Engine } from './engine.js'
import type { HostStorage } from './host-storage.js'
import { LocalHandle } from './local-handle.js'
import { free, instance, type WasmEngine, type WasmImage } from './module.js'
import { type Backing, type BackingResolver, resolver } from './options/backing.js'
import { type CreateOptions, createdBacking, createdDataFile, hostCreateOptions } from './options/create.js'
import { hostEncryptOptions } from './options/encryption.js'
import { hostOpenOptions, type OpenOptions } from './options/open.js'
import { checkPassphrase, Passphrases } from './options/passphrase.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { type HostProgress, watched } from './watch.js'

/** Opens an image with an engine that runs here: see {@link Qcow2.open}. Its files are storages already. */
export async function openHere(storage: Storage, options: OpenOptions): Promise<LocalHandle> {
  const { backing, dataFile, writable = false } = options
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    backing,
    passphrases: new Passphrases(options.passphrase),
    writable,
  }
  const how = hostOpenOptions(options)
  return start(files, options, async ({ engine, image, open, run }) => {
    const call = (data: HostStorage | undefined) => run(() => engine.open(image, { ...how, dataFile: data }))
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

/** Creates an image with an engine that runs here: see {@link Qcow2.create}. Its files are storages already. */
export async function createHere(storage: WritableStorage, options: CreateOptions): Promise<LocalHandle> {
  const { encryption } = options
  const dataFile = createdDataFile(options)
  const overwrite = flag(options.overwrite, 'overwrite')
  if (encryption !== undefined) checkPassphrase(optionsIn(encryption, 'encryption').passphrase, 'encryption.passphrase')
  const what = hostCreateOptions(options)
  // The caller chose the iterations of an image that it creates.
  const how = hostOpenOptions({ ...options, maxIterations: 0xffff_ffff })
  const dataStorage = dataFile && checkedStorage(dataFile.storage, 'dataFile.storage')
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    backing: createdBacking(options),
    passphrases: new Passphrases(encryption && (({ depth }) => (depth === 0 ? encryption.passphrase : undefined))),
    writable: true,
  }
  return start(files, options, async ({ engine, image, open, run }) => {
    const data = dataStorage && (await open(dataStorage))
    for (const { size } of data ? [image, data] : [image]) {
      if (size > 0 && !overwrite) throw new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
    }
    const created = await run((watch) => {
      const keys = encryption === undefined ? undefined : hostEncryptOptions(encryption)
      return engine.create(image, { ...what, encryption: keys }, { ...how, dataFile: data }, watch)
    })
    return { image: created, data: data ?? image }
  })
}

/** The data file that an image needs, if opening failed because it is missing and the caller has it. */
async function missingDataFile(error: unknown, dataFile: OpenOptions['dataFile']): Promise<unknown> {
  const missing = isQcow2Error(error) && error.code === 'MISSING_DATA_FILE' && !error.depth
  if (!missing || dataFile === undefined) return undefined
  return typeof dataFile === 'function' && !isStorage(dataFile) ? dataFile({ name: error.file?.name }) : dataFile
}

/** The files of an image. */
interface Files {
  readonly image: Storage
  readonly backing: Backing | readonly Backing[] | BackingResolver | null | undefined
  readonly passphrases: Passphrases
  readonly writable: boolean
}

/** What an opening works with. */
interface Opening {
  readonly engine: WasmEngine
  readonly image: HostStorage
  /** Takes another file of the image over. */
  open(storage: Storage): Promise<HostStorage>
  /** Runs a call of the engine. */
  run(call: (watch: HostProgress | undefined) => WasmImage | number): Promise<WasmImage>
}

/** Takes the image file over, and opens the image by `work`; what is open is closed again if that fails. */
async function start(
  files: Files,
  options: LongOptions,
  work: (opening: Opening) => Promise<{ readonly image: WasmImage; readonly data: HostStorage }>,
): Promise<LocalHandle> {
  const use = files.writable ? 'write' : 'read'
  const resolve = resolver(files.backing, (each) => storages.open(each), files.passphrases)
  const engine = new Engine(await instance(), resolve, files.passphrases)
  const storages = new Storages(engine, options.signal)
  const { signal } = storages.user
  const tasks = new Tasks(engine)
  try {
    const { image, data } = await work({
      engine: engine.wasm,
      image: await storages.open(files.image, use),
      open: (storage) => storages.open(storage, use),
      run: (call) => watched(options, (watch) => tasks.run<WasmImage>(() => call(watch), signal)),
    })
    if (signal.aborted) {
      free(image)
      throw signal.reason
    }
    return new LocalHandle(image, engine, storages, data, files.writable)
  } catch (error) {
    await storages.release().catch(() => {})
    throw files.passphrases.reason(error)
  }
}
