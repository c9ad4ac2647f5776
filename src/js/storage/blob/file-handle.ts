import { unlessAborted } from '../../base/abort.js'
import { integer, optionsIn } from '../../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import type { AsyncStorage, WritableAsyncStorage } from '../../base/storage/contract.js'
import { Buffered, type Change, chunkSize, type Store } from '../buffered.js'
import { quotaOr } from '../quota.js'
import { made } from '../recipe.js'
import { blob } from './blob.js'

/** How {@link fileHandle} opens a file. */
export interface FileHandleOptions {
  /** The most that is kept in memory before it is flushed, in bytes. More is flushed automatically. Default: 256 MiB. */
  readonly budget?: number | undefined
}

/**
 * A file on the user's own disk, by a handle from `showOpenFilePicker()`, `showSaveFilePicker()` or a drop.
 *
 * If the browser has to ask the user for permission, it does when an image is opened over it, and it asks for the permission to write
 * only if the image is opened for writing: open it in answer to a click. If the permission is refused, opening fails with code `NOT_PERMITTED`.
 *
 * Browsers let pages write such a file only by replacing it: what is written is kept in memory, and each flush copies the
 * whole file, changes the copy, and replaces the file by it. So a flush is all or nothing, takes as long as copying the file
 * does, and needs as much room. For a disk that is written much, `opfs.import` it, and export it in the end.
 *
 * If something else changes the file meanwhile, reads and flushes fail with code `FILE_CHANGED`, and nothing of that is
 * overwritten.
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `handle` is no handle of a file.
 *
 * @example
 * ```ts
 * // From showOpenFilePicker() or a dropped file.
 * const image = await Qcow2.open(fileHandle(picked), { writable: true })
 * ```
 */
export function fileHandle(handle: FileSystemFileHandle, options: FileHandleOptions = {}): WritableAsyncStorage {
  if (typeof handle?.getFile !== 'function') throw invalidArgument('fileHandle() takes the handle of a file.')
  const budget = integer(optionsIn(options).budget ?? 256 * 1024 * 1024, 'budget', chunkSize)
  const storage = new Buffered(new HandleStore(handle), budget)
  // Workers can't ask.
  const prepare = (signal: AbortSignal | undefined, writable: boolean) => permit(handle, modeOf(writable), signal)
  return made(storage, { maker: 'fileHandle', args: () => [handle, options], prepare })
}

/** Replaces the file with each commit. */
class HandleStore implements Store {
  readonly #handle: FileSystemFileHandle
  /** The file as it is since the last commit. */
  #file: File | undefined
  #bytes: AsyncStorage = blob(new Blob())
  #committing: Promise<void> | undefined

  constructor(handle: FileSystemFileHandle) {
    this.#handle = handle
  }

  async open(signal: AbortSignal, writable: boolean): Promise<number> {
    await permit(this.#handle, modeOf(writable), signal)
    return this.#look()
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = this.#bytes
    try {
      return await bytes.read(offset, length, { signal })
    } catch (error) {
      await this.#committing?.catch(() => {})
      // The file that it was read from was replaced meanwhile; in this range it is the same.
      if (bytes !== this.#bytes) return this.read(offset, length, signal)
      throw error
    }
  }

  commit(change: Change): Promise<void> {
    this.#committing = this.#replace(change)
    return this.#committing
  }

  close(): void {
    this.#bytes = blob(new Blob())
  }

  async #replace({ keep, size, chunks }: Change): Promise<void> {
    const now = await this.#handle.getFile()
    if (now.size !== this.#file?.size || now.lastModified !== this.#file.lastModified) {
      throw new Qcow2Error('FILE_CHANGED', 'The file was changed by something else: nothing was written to it.')
    }
    const copy = await this.#handle.createWritable({ keepExistingData: keep > 0 })
    try {
      await copy.truncate(keep)
      await copy.truncate(size)
      for (const [number, chunk] of chunks) {
        const position = number * chunkSize
        await copy.write({ type: 'write', position, data: chunk.subarray(0, size - position) })
      }
      await copy.close()
    } catch (error) {
      await copy.abort().catch(() => {})
      throw quotaOr(error, keep)
    }
    await this.#look()
  }

  async #look(): Promise<number> {
    this.#file = await this.#handle.getFile()
    this.#bytes = blob(this.#file)
    return this.#file.size
  }
}

/** The permission that a use of a file needs. */
type Mode = 'read' | 'readwrite'

function modeOf(writable: boolean): Mode {
  return writable ? 'readwrite' : 'read'
}

/** A question to the user cannot be withdrawn: if `signal` aborts, the answer is ignored. */
async function permit(
  handle: FileSystemFileHandle & Permissions,
  mode: Mode,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Where handles have no permissions everything is permitted.
  const state = (await handle.queryPermission?.({ mode })) ?? 'granted'
  const answer = state === 'prompt' ? await unlessAborted(ask(handle, mode), signal) : state
  if (answer === 'granted') return
  const reason = `The ${mode === 'read' ? 'reading' : 'writing'} of the file was not permitted.`
  throw new Qcow2Error('NOT_PERMITTED', reason)
}

async function ask(handle: Permissions, mode: Mode): Promise<PermissionState> {
  try {
    return (await handle.requestPermission?.({ mode })) ?? 'prompt'
  } catch (cause) {
    const reason = 'The browser asks the user for permission only in answer to a click: open the image in one.'
    throw new Qcow2Error('NOT_PERMITTED', reason, { cause })
  }
}

/** What some browsers have and TypeScript doesn't know. */
interface Permissions {
  queryPermission?(options: { readonly mode: Mode }): Promise<PermissionState>
  requestPermission?(options: { readonly mode: Mode }): Promise<PermissionState>
}
