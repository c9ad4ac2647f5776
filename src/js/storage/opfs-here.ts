import { type ClaimOptions, lock, type Unlock } from './lock.js'
import { OpfsFile, type OpfsFileOptions } from './opfs-file.js'
import type { OpfsPath } from './opfs-path.js'
import type { SyncStorage } from './types.js'

/** The file at a path by its access handle: only where these are, in dedicated workers. */
export function opfsHere(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions): SyncStorage {
  const file = new OpfsFile(path, options, claiming(path, options, claim))
  if (options.writable) return file
  return {
    open: () => file.open(),
    size: () => file.size(),
    readSync: (offset, into) => file.readSync(offset, into),
    close: () => file.close(),
  }
}

/** What takes the file at a path. */
export function claiming(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions = {}): () => Promise<Unlock> {
  const name = [...path.directories, path.name].join('/')
  return () => lock('opfs', name, !options.writable, claim)
}
