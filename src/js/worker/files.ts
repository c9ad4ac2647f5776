import { OpfsFile } from '../storage/opfs/file.js'
import type { OpfsMethods } from '../storage/opfs/remote.js'
import type { Served } from './rpc/port.js'
import type { StorageMethods, StorageTable } from './rpc/storages.js'

/** The files of the origin-private file system that the worker has open for the page, among its `storages`. */
export function fileMethods(storages: StorageTable): Served<Omit<OpfsMethods, keyof StorageMethods>> {
  return {
    addFile: (number, path, options) => storages.add(number, new OpfsFile(path, options)),
    removeFile: (number) => storages.remove(number),
  }
}
