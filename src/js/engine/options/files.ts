import { flag, optionsIn } from '../../base/arguments.js'
import { isStorage, type Storage, type WritableStorage } from '../../base/storage/contract.js'
import { isDisk } from '../../disk/disk.js'
import { type Source, storageOf, type WritableSource } from '../../storage/source.js'
import type { Backing, BackingResolver } from './backing.js'
import { isBackingFile } from './backing.js'
import type { CreateDataFile, CreateOptions } from './create.js'
import type { DataFile, DataFileResolver, OpenOptions } from './open.js'

/** Every form in which a caller may give backing files. */
type Backings = Backing | readonly Backing[] | BackingResolver | null | undefined

/** The options of an opening, with all files as storages: in this form they can also cross to a worker. */
export function withStorages<O extends OpenOptions>(options: O): O {
  const { backing, dataFile, writable } = optionsIn(options)
  flag(writable, 'writable')
  return {
    ...options,
    ...(backing !== undefined && { backing: backingStorages(backing) }),
    ...(dataFile !== undefined && { dataFile: dataFileStorage(dataFile) }),
  }
}

/** The options of a creation, with all files as storages. */
export function createdWithStorages(options: CreateOptions): CreateOptions {
  const { backing, dataFile } = optionsIn(options)
  optionsIn(backing, 'backing')
  const data = dataFile !== undefined && withStorage(dataFile)
  return {
    ...options,
    ...(backing?.storage !== undefined && {
      backing: { ...backing, storage: backingStorages(backing.storage) as Backing },
    }),
    ...(data && { dataFile: data }),
  }
}

function withStorage(dataFile: NonNullable<CreateOptions['dataFile']>): CreateDataFile {
  const isSource = (typeof dataFile === 'object' && dataFile !== null) || typeof dataFile === 'function'
  if (isSource && !isDataFile(dataFile)) {
    return { storage: storageOf(dataFile, 'dataFile') as WritableStorage }
  }
  const { storage } = optionsIn<CreateDataFile>(dataFile as CreateDataFile, 'dataFile')
  return { ...(dataFile as CreateDataFile), storage: storageOf(storage, 'dataFile.storage') as WritableStorage }
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
      dataFile: storageOf(dataFile, `The data file of the backing file at depth ${depth}`),
    }),
  }
}

function dataFileStorage(dataFile: NonNullable<OpenOptions['dataFile']>): Storage | DataFileResolver {
  if (!isResolver(dataFile)) return storageOf(bytesOf(dataFile), 'dataFile')
  return async (request) => {
    const found = await dataFile(request)
    return found === null || found === undefined ? found : storageOf(bytesOf(found), 'dataFile')
  }
}

/** Where the bytes of a data file are. */
function bytesOf(file: Source | DataFile): Source {
  return isDataFile(file) ? file.storage : file
}

function isDataFile(file: Source | WritableSource | DataFile | CreateDataFile): file is DataFile | CreateDataFile {
  return typeof file === 'object' && file !== null && 'storage' in file
}

function isResolver<F>(value: F): value is Extract<F, (...args: never) => unknown> {
  return typeof value === 'function' && !isStorage(value)
}
