import { optionsIn } from '../../base/arguments.js'
import { Qcow2Error } from '../../base/errors.js'
import type { WritableStorage } from '../../base/storage/contract.js'
import type { Source } from '../../storage/readable-source.js'
import type { Backing } from './backing.js'
import type { CreateDataFile, CreateOptions } from './create.js'
import { type DataFile, isDataFile, isResolver, type ToStorage } from './data-file.js'
import { backingStorages } from './files.js'

/** The options of a creation, with all files as storages, which `storageOf` makes. A function that supplies the data file is called. */
export async function createdWithStorages(options: CreateOptions, storageOf: ToStorage): Promise<CreateOptions> {
  const { backing, dataFile } = optionsIn(options)
  optionsIn(backing, 'backing')
  const storages = {
    ...options,
    ...(backing?.storage !== undefined && {
      backing: { ...backing, storage: backingStorages(backing.storage, storageOf) as Backing },
    }),
  }
  if (dataFile === undefined) return storages
  return { ...storages, dataFile: withStorage(await supplied(dataFile), storageOf) }
}

/** What a resolver answers, for no name is recorded yet. */
async function supplied(dataFile: NonNullable<CreateOptions['dataFile']>): Promise<Source | DataFile> {
  if (!isResolver(dataFile)) return dataFile
  const found = await dataFile({ name: undefined })
  if (found) return found
  throw new Qcow2Error(
    'MISSING_DATA_FILE',
    'No data file was supplied. Leave dataFile out to create an image without one.',
  )
}

function withStorage(dataFile: Source | DataFile, storageOf: ToStorage): CreateDataFile {
  const isSource = (typeof dataFile === 'object' && dataFile !== null) || typeof dataFile === 'function'
  if (isSource && !isDataFile(dataFile)) {
    return { storage: storageOf(dataFile, 'dataFile') as WritableStorage }
  }
  const about = optionsIn<DataFile>(dataFile as DataFile, 'dataFile')
  return { ...about, storage: storageOf(about.storage, 'dataFile.storage') as WritableStorage }
}
