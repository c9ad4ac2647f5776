import { flag, optionsIn } from '../../base/arguments.js'
import { isStorage } from '../../base/storage/contract.js'
import { isDisk } from '../../disk/disk.js'
import type { Backing, BackingResolver } from './backing.js'
import { isBackingFile } from './backing.js'
import { dataFileStorage, isResolver, type ToStorage } from './data-file.js'
import type { OpenOptions } from './open.js'

/** Every form in which a caller may give backing files. */
type Backings = Backing | readonly Backing[] | BackingResolver | null | undefined

/**
 * The options of an opening, with all files as storages, which `storageOf` makes: in this form they can also cross to a worker.
 */
export function withStorages<O extends OpenOptions>(options: O, storageOf: ToStorage): O {
  const { backing, dataFile, writable } = optionsIn(options)
  flag(writable, 'writable')
  return {
    ...options,
    ...(backing !== undefined && { backing: backingStorages(backing, storageOf) }),
    ...(dataFile !== undefined && { dataFile: dataFileStorage(dataFile, 'dataFile', storageOf) }),
  }
}

/** Backing files in any form, all as storages, which `storageOf` makes. */
export function backingStorages(backing: Backings, storageOf: ToStorage): Backings {
  if (backing === null || backing === undefined) return backing
  if (isResolver(backing)) {
    return async (request) => {
      const found = await backing(request)
      if (found === null || found === undefined) return found
      return backingStorage(found, request.depth, storageOf, request.format)
    }
  }
  if (Array.isArray(backing)) return backing.map((each: Backing, index) => backingStorage(each, index + 1, storageOf))
  return backingStorage(backing as Backing, 1, storageOf)
}

/** A backing file as storages. `recorded` is the format that an image records, if that is known. */
function backingStorage(backing: Backing, depth: number, storageOf: ToStorage, recorded?: string): Backing {
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
      dataFile: dataFileStorage(dataFile, `The data file of the backing file at depth ${depth}`, storageOf),
    }),
  }
}
