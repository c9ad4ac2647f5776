import { flag, optionsIn } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { checkedStorage } from '../base/storage/contract.js'
import type { LocalHandle } from './local-handle.js'
import { editing, moduleFor } from './modules.js'
import { type Files, type Modules, openWith, start } from './opening.js'
import { type CreateOptions, createdBacking, createdDataFile, hostCreateOptions } from './options/create.js'
import { hostEncryptOptions } from './options/encryption.js'
import { hostOpenOptions, type OpenOptions } from './options/open.js'
import { checkPassphrase, Passphrases } from './options/passphrase.js'
import { Tables } from './tables.js'

/** Opens an image with an engine that runs here: see {@link Qcow2.open}. Its files are storages already. */
export function openHere(storage: Storage, options: OpenOptions): Promise<LocalHandle> {
  return openWith(modules(options.writable ?? false), storage, options)
}

function modules(writable: boolean): Modules {
  return { module: moduleFor(writable), editing, tables: (storages, data) => new Tables(storages, data, editing) }
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
  return start(modules(true), files, options, async ({ image, open, run }) => {
    const data = dataStorage && (await open(dataStorage))
    for (const { size } of data ? [image, data] : [image]) {
      if (size > 0 && !overwrite) throw new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
    }
    const created = await run((engine, watch) => {
      const keys = encryption === undefined ? undefined : hostEncryptOptions(encryption)
      return engine.create(image, { ...what, encryption: keys }, { ...how, dataFile: data }, watch)
    })
    return { image: created, data: data ?? image }
  })
}
