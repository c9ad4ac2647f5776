import type { WritableSyncStorage } from '../../base/storage/contract.js'
import type { ClaimOptions } from '../lock.js'
import { claiming } from './claiming.js'
import { OpfsFile, type OpfsFileOptions } from './file.js'
import type { OpfsPath } from './path.js'

/** The file at a path by its access handle: only where these are, in dedicated workers. */
export function localOpfs(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions): WritableSyncStorage {
  return new OpfsFile(path, options, claiming(path, claim))
}
