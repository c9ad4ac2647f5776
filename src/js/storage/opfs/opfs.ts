import { flag } from '../../base/arguments.js'
import type { LongOptions } from '../../base/progress.js'
import type { WritableAsyncStorage, WritableStorage } from '../../base/storage/contract.js'
import { type ClaimOptions, claimFor, claimIn } from '../lock.js'
import { made } from '../recipe.js'
import { nameBeside, type Replacement, replaceable } from '../replacement.js'
import { claiming } from './claiming.js'
import { hasAccessHandles, type OpfsFileOptions } from './file.js'
import {
  exportFile,
  file,
  importFile,
  list,
  type OpfsEntry,
  type OpfsImportOptions,
  remove,
  rename,
  replace,
} from './files.js'
import { localOpfs } from './local.js'
import { type OpfsPath, parsePath } from './path.js'
import { RemoteOpfsFile } from './remote.js'
import { mustReplace, replacedOpfs } from './replaced.js'

/** How {@link opfs} opens a file. */
export interface OpfsOptions extends ClaimOptions {
  /** Make the file, and the directories above it, when an image is opened over it for writing. Default: false. */
  readonly create?: boolean | undefined
}

/**
 * Files of the origin-private file system: where a web page keeps its own, up to a quota. Where the browser refuses something,
 * such as what is asked of a file that is missing, that is code `STORAGE`, with the browser's error as the `cause`.
 */
export interface Opfs {
  /**
   * A file of the origin-private file system, which can be written.
   *
   * In a dedicated worker the storage is synchronous: the engine reads and writes through the file's access handle, with
   * nothing between. On a page, where there are no access handles, it is asynchronous, and the handle is in a worker that
   * the package starts for it. In a SharedWorker, a Service Worker and the background of an extension, which start no
   * workers, each flush replaces the file, as with {@link fileHandle}: that suits what is read, and small changes.
   *
   * A storage that is open for writing has the file alone; several tabs, workers and storages may read it at one time. Otherwise
   * opening fails with code `IN_USE`, unless the two agree otherwise: see {@link ClaimOptions}. `flush` makes what was written
   * durable. Where there is no room writing fails with code `QUOTA`.
   *
   * @param path names joined by slashes, from the root.
   * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `path` is none, or if there are neither access handles here nor
   * workers that could have them. That the file is missing shows when an image is opened over it: code `STORAGE`.
   */
  (path: string, options?: OpfsOptions): WritableStorage
  /** What is in a directory, by name. Default: the root. */
  list(path?: string): Promise<OpfsEntry[]>
  /** A file to read from: it can be sliced, streamed and shown as a download, and nothing of it is copied for that. */
  file(path: string): Promise<File>
  /**
   * Deletes a file, or a directory with all that is in it.
   *
   * @throws {@link Qcow2Error} `IN_USE` if it is open.
   */
  delete(path: string): Promise<void>
  /**
   * Gives a file another path, with the directories above it; a file that is there already is not replaced.
   *
   * @throws {@link Qcow2Error} `IN_USE` if it is open, `STORAGE` if there is a file at the new path.
   */
  rename(from: string, to: string): Promise<void>
  /** Streams a file into `to`, and closes that: a file that the user picked, an upload. */
  export(path: string, to: WritableStream<Uint8Array>, options?: LongOptions): Promise<void>
  /**
   * Makes a file out of a `File` or a stream. It has its name once it is whole and durable; before, and if the page goes
   * away meanwhile, its name ends with `.part`.
   *
   * @throws {@link Qcow2Error} `STORAGE` if there is such a file already, `QUOTA`; or the signal's reason. Nothing is
   * left then.
   */
  import(path: string, from: Blob | ReadableStream<Uint8Array>, options?: OpfsImportOptions): Promise<void>
}

/**
 * Files of the origin-private file system; see {@link Opfs}.
 *
 * @example
 * ```ts
 * await opfs.import('disks/one.qcow2', file)
 * const image = await Qcow2.open(opfs('disks/one.qcow2'), { writable: true })
 * ```
 */
export const opfs: Opfs = /* @__PURE__ */ Object.assign(open, {
  list,
  file,
  delete: remove,
  rename,
  export: exportFile,
  import: importFile,
})

function open(path: string, options: OpfsOptions = {}): WritableStorage {
  const claim = claimIn(options)
  const how = [parsePath(path, 'The path'), { create: flag(options.create, 'create') }] as const
  const storage = hasAccessHandles() ? localOpfs(...how, claim) : remoteOpfs(...how, claim)
  replaceable(storage, () => beginReplacement(path))
  return made(storage, { maker: 'opfs', args: (user) => [...how, claimFor(claim, user)] })
}

async function beginReplacement(path: string): Promise<Replacement | undefined> {
  const old = await file(path).catch(() => undefined)
  if (!old || old.size === 0) return undefined
  const beside = nameBeside(path)
  return {
    storage: open(beside, { create: true }),
    commit: () => replace(beside, path),
    discard: () => remove(beside),
  }
}

/** The file at a path, with its access handle in the package's own worker, or without one where there are no workers. */
function remoteOpfs(path: OpfsPath, options: OpfsFileOptions, claim: ClaimOptions): WritableAsyncStorage {
  const lock = claiming(path, claim)
  return mustReplace() ? replacedOpfs(path, options, lock) : new RemoteOpfsFile(path, options, lock)
}
