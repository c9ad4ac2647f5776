import { flag, optionsIn } from '../../base/arguments.js'
import { Qcow2Error } from '../../base/errors.js'
import { isStorage, type WritableStorage } from '../../base/storage/contract.js'
import { isDisk } from '../../disk/disk.js'
import { type Source, storageOf } from '../../storage/source.js'
import type { Backing, BackingResolver } from './backing.js'
import { isBackingFile } from './backing.js'
import type { CreateDataFile, CreateOptions } from './create.js'
import { type DataFile, dataFileStorage, isDataFile, isResolver } from './data-file.js'
import type { OpenOptions } from './open.js'

/** Every form in which a caller may give backing files. */
type Backings = Backing | readonly Backing[] | BackingResolver | null | undefined

/** The options of an opening, with all files as storages: in this form they can also cross to a worker. */
export function withStorages<O extends OpenOptions>(options: O): O {
  const { backing, dataFile, writable } = optionsIn(options)
  flag(writable, 'writable')
  return {
    ...options,
    ...(backing !== undefined && { backing: backingStorages(backing) }),
    ...(dataFile !== undefined && { dataFile: dataFileStorage(dataFile, 'dataFile') }),
  }
}

/** The options of a creation, with all files as storages. A function that supplies the data file is called. */
export async function createdWithStorages(options: CreateOptions): Promise<CreateOptions> {
  const { backing, dataFile } = optionsIn(options)
  optionsIn(backing, 'backing')
  const storages = {
    ...options,
    ...(backing?.storage !== undefined && {
      backing: { ...backing, storage: backingStorages(backing.storage) as Backing },
    }),
  }
  return dataFile === undefined ? storages : { ...storages, dataFile: withStorage(await supplied(dataFile)) }
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

function withStorage(dataFile: Source | DataFile): CreateDataFile {
  const isSource = (typeof dataFile === 'object' && dataFile !== null) || typeof dataFile === 'function'
  if (isSource && !isDataFile(dataFile)) {
    return { storage: storageOf(dataFile, 'dataFile') as WritableStorage }
  }
  const about = optionsIn<DataFile>(dataFile as DataFile, 'dataFile')
  return { ...about, storage: storageOf(about.storage, 'dataFile.storage') as WritableStorage }
}

/** Backing files in any form, all as storages. */
export function backingStorages(backing: Backings): Backings {
  if (backing === null || backing === undefined) return backing
  if (isResolver(backing)) {
    return async (request) => {
      const found = await backing(request)
      return found === null || found === undefined ? found : backingStorage(found, request.depth, request.format)
    }
  }
  if (Array.isArray(backing)) return backing.map((each: Backing, index) => backingStorage(each, index + 1))
  return backingStorage(backing as Backing, 1)
}

/** A backing file as storages. `recorded` is the format that an image records, if that is known. */
function backingStorage(backing: Backing, depth: number, recorded?: string): Backing {
  const given = isBackingFile(backing) ? backing : { storage: backing }
  const { storage, dataFile } = given
  // Only the caller can read such a file, and its disk is what is in it.
  const isForeign = recorded !== undefined && !['qcow2', 'raw'].includes(recorded)
  const isContent = isForeign && !isStorage(storage) && isDisk(storage)
  return {
    ...given,
    ...(isContent && { format: given.format ?? 'raw' }),
    storage: storageOf(storage, `The backing file at depth ${depth}`),
    ...(dataFile !== undefined && {
      dataFile: dataFileStorage(dataFile, `The data file of the backing file at depth ${depth}`),
    }),
  }
}
