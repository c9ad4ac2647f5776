import type { WritableSyncStorage } from '../../base/storage/contract.js'
import { type Claiming, type ClaimOptions, lock } from '../lock.js'
import { OpfsFile, type OpfsFileOptions } from './file.js'
import type { OpfsPath } from './path.js'

/** The file at a path by its access handle: only where these are, in dedicated workers. */
export function localOpfs(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions): WritableSyncStorage {
  return new OpfsFile(path, options, claiming(path, claim))
}

/** What locks the file at a path. */
export function claiming(path: OpfsPath, claim: ClaimOptions = {}): Claiming {
  const name = [...path.directories, path.name].join('/')
  return (opening, user, writable) => lock('opfs', name, !writable, claim, opening, user)
}
