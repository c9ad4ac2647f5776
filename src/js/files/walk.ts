import { FilesError } from './errors.js'
import type { FilePath } from './paths.js'
import type { FileEntry, FileTree } from './values.js'

/** A file or directory below the one that a walk began at. */
export interface Walked {
  /** The entry itself. */
  readonly entry: FileEntry
  /** The names from the start of the walk to the entry, both included. */
  readonly names: readonly string[]
}

/** Directories deeper than this are not entered: a corrupt file system can contain itself. */
const deepest = 200
/** A walk that finds more than this ends with an error. */
const most = 5_000_000

/** What a walk leaves out. */
export type OnSkip = (path: FilePath, reason: string) => void

/** Walks `start` and all below it: a directory before what is in it. Does not follow symbolic links. */
export async function* walk(
  volume: FileTree,
  start: FileEntry,
  { signal, onSkip }: { signal: AbortSignal | undefined; onSkip: OnSkip | undefined },
): AsyncGenerator<Walked> {
  let found = 0
  async function* below(entry: FileEntry, names: readonly string[], within: readonly string[]): AsyncGenerator<Walked> {
    signal?.throwIfAborted()
    found += 1
    if (found > most) throw new FilesError('LIMIT', 'There are too many files. The file system is likely corrupt.')
    if (entry.problem) return onSkip?.(entry.path, entry.problem)
    yield { entry, names }
    if (entry.kind !== 'directory') return
    if (entry.inode !== undefined && within.includes(entry.inode)) return onSkip?.(entry.path, 'It contains itself.')
    if (names.length > deepest) return onSkip?.(entry.path, 'It is too deep.')
    const inside = entry.inode === undefined ? within : [...within, entry.inode]
    // Listed to its end first: a consumer may take long between two entries.
    const children: FileEntry[] = []
    try {
      for await (const child of volume.list(entry.path, { signal })) children.push(child)
    } catch (error) {
      if (!(error instanceof FilesError) || error.code === 'CLOSED') throw error
      return onSkip?.(entry.path, error.message)
    }
    for (const child of children) yield* below(child, [...names, child.name], inside)
  }
  yield* below(start, [start.name], [])
}
