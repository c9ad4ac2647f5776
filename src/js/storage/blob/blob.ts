import { flag, optionsIn } from '../../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import type { AsyncStorage, GivingStorage, Storage, SyncStorage } from '../../base/storage/contract.js'
import type { ReadAheadOptions } from '../cache/limits.js'
import { readAhead } from '../cache/read-ahead.js'
import { made, recipeOf } from '../recipe.js'
import { openRun } from './run.js'

/** How {@link blob} reads. */
export interface BlobOptions {
  /**
   * Read with `FileReaderSync`, so that `readSync` of the image works: in workers only. Default: false.
   */
  readonly sync?: boolean | undefined
  /**
   * How much to fetch ahead and to keep, or false to pass each request on as it is. Default: the defaults of
   * {@link ReadAheadOptions}, which keep at most 16 MiB in memory.
   */
  readonly readAhead?: ReadAheadOptions | false | undefined
}

/**
 * A `File` that the user chose or dropped, or any other `Blob`, read-only. Nothing of it is copied but what is read.
 *
 * If the file is changed, moved or removed meanwhile, reads fail with code `FILE_CHANGED`.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `file` is no `Blob`, or if `sync` is asked for outside of a worker.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(blob(file))
 * ```
 */
export function blob(file: Blob, options: BlobOptions & { readonly sync: true }): SyncStorage
export function blob(file: Blob, options?: BlobOptions): AsyncStorage
export function blob(file: Blob, options: BlobOptions = {}): SyncStorage | AsyncStorage {
  // By its shape: one from another window is no instance of this window's class.
  if (typeof file?.slice !== 'function' || typeof file.arrayBuffer !== 'function')
    throw invalidArgument('blob() takes a File or another Blob.')
  const { readAhead: ahead = {}, sync } = optionsIn(options)
  const bare = flag(sync, 'sync') ? syncBlob(file) : asyncBlob(file)
  const storage = ahead === false ? bare : readAhead(bare, ahead)
  return made(storage, { maker: 'blob', args: () => [file, options] })
}

/** The file that a storage reads, if {@link blob} made it. */
export function fileOf(storage: Storage): Blob | undefined {
  const recipe = recipeOf(storage)
  return recipe?.maker === 'blob' ? (recipe.args()[0] as Blob) : undefined
}

function asyncBlob(file: Blob): GivingStorage {
  return {
    gives: true,
    size: () => file.size,
    identity: () => identity(file),
    read(offset, length) {
      const bytes = slice(file, offset, length).arrayBuffer()
      return bytes.then(
        (buffer) => new Uint8Array(buffer),
        (error) => Promise.reject(changedOr(error, offset)),
      )
    },
    openRun(offset, length) {
      const run = openRun(slice(file, offset, length))
      if (!run) return undefined
      const read = (count: number) => run.read(count).catch((error) => Promise.reject(changedOr(error, offset)))
      return { length, read, close: () => run.close() }
    },
  }
}

/** A file to read from in workers, as it is. */
export function syncBlob(file: Blob): SyncStorage {
  const { FileReaderSync } = globalThis as { FileReaderSync?: new () => FileReaderSync }
  if (!FileReaderSync) throw invalidArgument('blob() with sync: true works in workers only: here is no FileReaderSync.')
  return {
    size: () => file.size,
    identity: () => identity(file),
    readSync(offset, into) {
      try {
        into.set(new Uint8Array(new FileReaderSync().readAsArrayBuffer(slice(file, offset, into.length))))
      } catch (error) {
        throw changedOr(error, offset)
      }
    },
  }
}

function slice(file: Blob, offset: number, length: number): Blob {
  const end = offset + length
  // A slice would be cut short without a word.
  if (end > file.size) throw new RangeError(`The file ends at ${file.size}; ${end} was asked for.`)
  return file.slice(offset, end)
}

function identity(file: Blob & { readonly name?: string; readonly lastModified?: number }): string {
  const state = new URLSearchParams({ size: String(file.size) })
  if (file.lastModified !== undefined) state.set('modified', String(file.lastModified))
  return `${file.name ?? 'blob'}#${state}`
}

/** Browsers throw NotReadableError or NotFoundError, and differ in when. */
function changedOr(error: unknown, offset: number): unknown {
  const name = error instanceof Error || error instanceof DOMException ? error.name : ''
  if (name !== 'NotReadableError' && name !== 'NotFoundError') return error
  const reason = 'The file was changed, moved or removed after it was chosen: choose it again.'
  return new Qcow2Error('FILE_CHANGED', reason, { offset, cause: error })
}

/** Only in the types of workers, which don't go together with those of pages. */
interface FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}
