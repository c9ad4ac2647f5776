/** In a file of its own, for it is loaded with the first hash. */

import { createCRC32, createMD5, createSHA1, createSHA256, type IHasher } from 'hash-wasm'
import type { HashName } from './protocol'

export const HASHERS: Record<HashName, () => Promise<IHasher>> = {
  'SHA-256': createSHA256,
  'SHA-1': createSHA1,
  MD5: createMD5,
  CRC32: () => createCRC32(),
}
