import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { fileHandle } from './blob/file-handle.js'
import { type Source, storageFrom } from './readable-source.js'

export type { Source }

/** Where bytes are that are written: a storage, or the handle of a file. */
export type WritableSource = WritableStorage | FileSystemFileHandle

/** `source` as a storage; `what` names it in the error. */
export function storageOf(source: unknown, what: string): Storage {
  return storageFrom(source, what, fileHandle)
}
