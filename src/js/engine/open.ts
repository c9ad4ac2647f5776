import { Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { checkedStorage } from '../base/storage/contract.js'
import { Engine } from './engine.js'
import type { HostStorage } from './host-storage.js'
import { LocalHandle } from './local-handle.js'
import { init, type WasmEngine, type WasmImage } from './module.js'
import { type Backing, type BackingResolver, resolver } from './options/backing.js'
import { type CreateOptions, createdBacking, hostCreateOptions } from './options/create.js'
import { hostEncryptOptions } from './options/encryption.js'
import { type HostOpenOptions, hostOpenOptions, type OpenOptions } from './options/open.js'
import { Passphrases } from './options/passphrase.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { type HostProgress, watched } from './watch.js'

/** Opens an image with an engine that runs here: {@link Qcow2.open} says all of it. */
export async function openHere(storage: Storage, options: OpenOptions): Promise<LocalHandle> {
  const { backing, dataFile, writable = false } = options
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    data: dataFile === undefined ? undefined : checkedStorage(dataFile, 'dataFile'),
    backing,
    passphrases: new Passphrases(options.passphrase),
    writable,
  }
  return start(files, hostOpenOptions(options), options, (engine, image, how) => engine.open(image, how))
}

/** Creates an image with an engine that runs here: {@link Qcow2.create} says all of it. */
export async function createHere(storage: WritableStorage, options: CreateOptions): Promise<LocalHandle> {
  const { dataFile, encryption, overwrite = false } = options
  const what = hostCreateOptions(options)
  // Whoever makes an image is not surprised by its iterations.
  const how = hostOpenOptions({ ...options, maxIterations: 0xffff_ffff })
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    data: dataFile && checkedStorage(dataFile.storage, 'dataFile.storage'),
    backing: createdBacking(options),
    passphrases: new Passphrases(encryption && (({ depth }) => (depth === 0 ? encryption.passphrase : undefined))),
    writable: true,
  }
  return start(files, how, options, (engine, image, how, watch) => {
    for (const { size } of [image, ...(how.dataFile ? [how.dataFile] : [])]) {
      if (size > 0 && !overwrite) throw new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
    }
    return engine.create(image, { ...what, encryption: encryption && hostEncryptOptions(encryption) }, how, watch)
  })
}

/** The files of an image. */
interface Files {
  readonly image: Storage
  readonly data: Storage | undefined
  readonly backing: Backing | readonly Backing[] | BackingResolver | null | undefined
  readonly passphrases: Passphrases
  readonly writable: boolean
}

/** What calls the engine with the files. */
type Call = (
  engine: WasmEngine,
  image: HostStorage,
  how: HostOpenOptions,
  watch: HostProgress | undefined,
) => WasmImage | number

/** Takes the files over, and calls the engine with them; what is open is closed again if that fails. */
async function start(files: Files, how: HostOpenOptions, options: LongOptions, call: Call): Promise<LocalHandle> {
  const use = files.writable ? 'write' : 'read'
  const storages = new Storages()
  const resolve = resolver(
    files.backing,
    (each) => storages.open(each, engine, 'read', options.signal),
    files.passphrases,
  )
  await init()
  const engine = new Engine(resolve, files.passphrases)
  const tasks = new Tasks(engine)
  try {
    const image = await storages.open(files.image, engine, use, options.signal)
    const data = files.data && (await storages.open(files.data, engine, use, options.signal))
    const opened = await watched(options, (watch) =>
      tasks.run<WasmImage>(() => call(engine.wasm, image, { ...how, dataFile: data }, watch), options.signal),
    )
    return new LocalHandle(opened, engine, storages, data ?? image, files.writable)
  } catch (error) {
    await storages.release().catch(() => {})
    throw files.passphrases.reason(error)
  }
}
