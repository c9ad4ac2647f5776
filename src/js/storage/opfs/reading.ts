import type { AsyncStorage } from '../../base/storage/contract.js'
import { foundFile } from '../blob/found-file.js'
import { lockToRead } from '../held-lock.js'
import { fileAt, parsePath, translated } from './path.js'

/**
 * A file of the origin-private file system, read-only. It needs no worker, and is asynchronous everywhere.
 *
 * Several tabs, workers and storages may read it at one time. While another one has it open for writing, opening fails with code
 * `IN_USE`.
 *
 * @param path names joined by slashes, from the root.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `path` is none. That the file is missing shows when an image is opened over it: code
 * `STORAGE`.
 *
 * @example
 * ```ts
 * import { opfs, Qcow2 } from 'qcow2-web/read'
 *
 * const image = await Qcow2.open(opfs('disk.qcow2'))
 * ```
 */
export function opfs(path: string): AsyncStorage {
  const found = parsePath(path, 'The path')
  const find = () => translated(path, async () => (await fileAt(found)).getFile())
  return foundFile(find, () => lockToRead('opfs', [...found.directories, found.name].join('/')))
}
