import type { SyncStorage } from '../../base/storage/contract.js'
import { type Claiming, type ClaimOptions, lock } from '../lock.js'
import { OpfsFile, type OpfsFileOptions } from './file.js'
import type { OpfsPath } from './path.js'

/** The file at a path by its access handle: only where these are, in dedicated workers. */
export function localOpfs(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions): SyncStorage {
  const file = new OpfsFile(path, options, claiming(path, options, claim))
  if (options.writable) return file
  return {
    open: (options) => file.open(options),
    size: () => file.size(),
    readSync: (offset, into) => file.readSync(offset, into),
    close: () => file.close(),
  }
}

/** What takes the file at a path. */
export function claiming(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions = {}): Claiming {
  const name = [...path.directories, path.name].join('/')
  return (opening, user) => lock('opfs', name, !options.writable, claim, opening, user)
}
