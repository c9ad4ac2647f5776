import { invalidArgument } from '../errors.js'
import type { SyncStorage } from './types.js'

/**
 * An image in memory.
 *
 * @param bytes the whole file. It is neither copied nor changed; change it yourself only while no image is open over it.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `bytes` is neither a `Uint8Array` nor an `ArrayBuffer`.
 */
export function memory(bytes: Uint8Array | ArrayBuffer): SyncStorage {
  if (!(bytes instanceof Uint8Array) && !(bytes instanceof ArrayBuffer)) {
    throw invalidArgument('memory() takes a Uint8Array or an ArrayBuffer.')
  }
  const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)
  return {
    size: () => file.length,
    readSync(offset, into) {
      const end = offset + into.length
      if (end > file.length) throw new RangeError(`The file ends at ${file.length}; ${end} was asked for.`)
      into.set(file.subarray(offset, end))
    },
  }
}
