import { bytesIn } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import { isStorage, type Storage } from '../base/storage/contract.js'
import { type Disk, isDisk } from '../disk/disk.js'
import { diskStorage } from '../disk/disk-storage.js'
import { blob } from './blob/blob.js'
import { foundFile } from './blob/found-file.js'
import { readOnlyMemory } from './memory/memory.js'

/**
 * Where bytes are that are read: a storage, a `File` or another `Blob`, the handle of a file, bytes in memory, or a disk that
 * is open. A disk stays open, is read asynchronously, and may not be written meanwhile; everything else is owned by what is opened, and closed with it. A server is
 * never asked for an address: give `http(url)`.
 */
export type Source = Storage | Disk | Blob | FileSystemFileHandle | ArrayBuffer | ArrayBufferView

/** Makes a storage of the handle of a file. */
export type FromHandle = (handle: FileSystemFileHandle) => Storage

/** `source` as a storage; `what` names it in the error. By default the handle of a file becomes a storage that is only read. */
export function storageFrom(source: unknown, what: string, fromHandle: FromHandle = found): Storage {
  if (isStorage(source)) return source
  if (isDisk(source)) return diskStorage(source)
  if (isBlob(source)) return blob(source)
  if (isFileHandle(source)) return fromHandle(source)
  if (isBytes(source)) return readOnlyMemory(bytesIn(source, what))
  const hint = 'a storage such as http(url) or nodeFile(path), a Blob, a file handle, bytes or a disk'
  throw invalidArgument(`${what} must be ${hint}.`)
}

function found(handle: FileSystemFileHandle): Storage {
  return foundFile(() => handle.getFile())
}

/** By its shape, like the others: one from another window is no instance of this window's class. */
function isBlob(value: unknown): value is Blob {
  const { slice, arrayBuffer } = (value ?? {}) as Partial<Blob>
  return typeof slice === 'function' && typeof arrayBuffer === 'function'
}

function isFileHandle(value: unknown): value is FileSystemFileHandle {
  return typeof (value as Partial<FileSystemFileHandle> | undefined)?.getFile === 'function'
}

function isBytes(value: unknown): boolean {
  return ArrayBuffer.isView(value) || Object.prototype.toString.call(value) === '[object ArrayBuffer]'
}
