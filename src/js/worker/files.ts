import { Qcow2Error } from '../base/errors.js'
import { OpfsFile } from '../storage/opfs/file.js'
import { moved, type Served } from './rpc/port.js'
import type { FileMethods } from './rpc/protocol.js'

/** The worker's files of the origin-private file system. */
export function fileMethods(): Served<FileMethods> {
  const files = new Map<number, OpfsFile>()
  const known = (file: number): OpfsFile => {
    const found = files.get(file)
    if (found) return found
    throw new Qcow2Error('CLOSED', 'The storage is not open.')
  }
  return {
    async open(file, path, options) {
      const opened = new OpfsFile(path, options)
      await opened.open()
      files.set(file, opened)
    },
    size: (file) => known(file).size(),
    read(file, offset, length) {
      const bytes = new Uint8Array(length)
      known(file).readSync(offset, bytes)
      return moved(bytes)
    },
    write: (file, offset, bytes) => known(file).writeSync(offset, bytes),
    truncate: (file, size) => known(file).truncateSync(size),
    flush: (file) => known(file).flushSync(),
    async close(file) {
      const closing = known(file)
      files.delete(file)
      await closing.close()
    },
  }
}
