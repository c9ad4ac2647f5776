import type { AsyncStorage } from '../base/storage/contract.js'
import type { Disk } from './disk.js'

/**
 * A disk as a storage that can be read. To close the storage does not close the disk.
 *
 * It is asynchronous even where the disk is not: the engine that reads the storage must not be entered again, by a disk that is
 * an image, before it has returned.
 */
export function diskStorage(disk: Disk): AsyncStorage {
  return {
    size: () => disk.size,
    read: async (offset, length, { signal }) => {
      await undefined
      return disk.read(offset, length, { signal })
    },
  }
}
