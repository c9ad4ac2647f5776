import { show } from '../../base/arguments.js'
import { codeOf, invalidArgument, isQcow2Error, Qcow2Error } from '../../base/errors.js'

/** A path in the origin-private file system: names joined by slashes, from its root. */
export interface OpfsPath {
  readonly directories: readonly string[]
  readonly name: string
}

/** `path` as names; `what` names it in the error. */
export function parsePath(path: unknown, what: string): OpfsPath {
  const names = typeof path === 'string' ? path.split('/') : []
  const name = names.pop()
  const wrong = (each: string | undefined) => !each || each === '.' || each === '..'
  if (!wrong(name) && name && !names.some(wrong)) return { directories: names, name }
  throw invalidArgument(`${what} must be a path such as 'disk.qcow2' or 'disks/one.qcow2'; it is ${show(path)}.`)
}

/** The directory of some names. */
export async function directory(names: readonly string[], create = false): Promise<FileSystemDirectoryHandle> {
  let found = await root()
  for (const name of names) found = await found.getDirectoryHandle(name, { create })
  return found
}

/** The file at a path. */
export async function fileAt({ directories, name }: OpfsPath, create = false): Promise<FileSystemFileHandle> {
  return (await directory(directories, create)).getFileHandle(name, { create })
}

/** A browser's error about a file, as an error of this package if there is one for it. */
export function inUseOr(error: unknown, path: string): unknown {
  if (!isInUse(error)) return error
  return new Qcow2Error('IN_USE', `The file ${path} is in use: by another tab, worker or storage.`, { cause: error })
}

/** Runs `work` with a file. The browser's errors become errors of this package. */
export async function translated<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const known = inUseOr(error, path)
    if (isQcow2Error(known)) throw known
    const message = error instanceof Error ? error.message : String(error)
    throw new Qcow2Error(codeOf(error), `The browser refuses what is asked of ${path}: ${message}.`, { cause: error })
  }
}

/** Returns whether the error means that another user has the file. */
export function isInUse(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'NoModificationAllowedError'
}

async function root(): Promise<FileSystemDirectoryHandle> {
  const { storage } = globalThis.navigator ?? {}
  if (storage?.getDirectory) return storage.getDirectory()
  throw invalidArgument('There is no origin-private file system here: it takes a browser that has one, and HTTPS.')
}
