import type { KeepingStorage } from '../../base/storage/contract.js'
import type { Claiming } from '../held-lock.js'
import { Shared } from '../shared.js'
import { blob } from './blob.js'

/** A file that is looked for when an image is opened over it, to be read as {@link blob} reads. `lock` is held while it is open. */
export function foundFile(find: () => Promise<Blob>, lock?: Claiming): KeepingStorage {
  // Whatever keeps nothing is asked for otherwise.
  const file = new Shared(async () => blob(await find()) as KeepingStorage, undefined, lock)
  return {
    open: (options) => file.open({ ...options, writable: false }),
    size: () => file.current.size(),
    read: (...request) => file.current.read(...request),
    readKept: (...request) => file.current.readKept(...request),
    readInto: (...request) => file.current.readInto(...request),
    get giver() {
      return file.current.giver
    },
    close: () => file.close(),
  }
}
