import { type Backing, type BackingResolver, resolver } from './backing.js'
import { storage as checkedStorage } from './checks.js'
import { type CreateOptions, createdBacking, hostCreateOptions } from './create.js'
import { Engine } from './engine.js'
import { Qcow2Error } from './errors.js'
import type { HostStorage } from './host-storage.js'
import { LocalHandle } from './local-handle.js'
import { caches, type OpenOptions } from './options.js'
import type { Storage, WritableStorage } from './storage/types.js'
import { Storages } from './storages.js'
import { Tasks } from './tasks.js'
import { init, type WasmEngine, type WasmImage } from './wasm.js'

/** Opens an image with an engine that runs here: {@link Qcow2.open} says all of it. */
export async function openHere(storage: Storage, options: OpenOptions): Promise<LocalHandle> {
  const { backing, dataFile, writable = false } = options
  const { tables, clusters, writeThrough } = caches(options)
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    data: dataFile === undefined ? undefined : checkedStorage(dataFile, 'dataFile'),
    backing,
    writable,
  }
  return start(files, options.signal, (engine, image, data) => engine.open(image, data, tables, clusters, writeThrough))
}

/** Creates an image with an engine that runs here: {@link Qcow2.create} says all of it. */
export async function createHere(storage: WritableStorage, options: CreateOptions): Promise<LocalHandle> {
  const { dataFile, overwrite = false } = options
  const what = hostCreateOptions(options)
  const { tables, clusters, writeThrough } = caches(options)
  const files: Files = {
    image: checkedStorage(storage, 'The image'),
    data: dataFile && checkedStorage(dataFile.storage, 'dataFile.storage'),
    backing: createdBacking(options),
    writable: true,
  }
  return start(files, options.signal, (engine, image, data) => {
    for (const { size } of [image, ...(data ? [data] : [])]) {
      if (size > 0 && !overwrite) throw new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
    }
    return engine.create(image, data, what, tables, clusters, writeThrough)
  })
}

/** The files of an image. */
interface Files {
  readonly image: Storage
  readonly data: Storage | undefined
  readonly backing: Backing | readonly Backing[] | BackingResolver | null | undefined
  readonly writable: boolean
}

/** Takes the files over, and calls the engine with them; what is open is closed again if that fails. */
async function start(
  files: Files,
  signal: AbortSignal | undefined,
  call: (engine: WasmEngine, image: HostStorage, data: HostStorage | undefined) => WasmImage | number,
): Promise<LocalHandle> {
  const use = files.writable ? 'write' : 'read'
  const storages = new Storages()
  const resolve = resolver(files.backing, (each) => storages.open(each, engine))
  await init()
  const engine = new Engine(resolve)
  const tasks = new Tasks(engine)
  try {
    const image = await storages.open(files.image, engine, use)
    const data = files.data && (await storages.open(files.data, engine, use))
    const opened = await tasks.run<WasmImage>(() => call(engine.wasm, image, data), signal)
    return new LocalHandle(opened, engine, storages, data ?? image, files.writable)
  } catch (error) {
    await storages.release().catch(() => {})
    throw error
  }
}
