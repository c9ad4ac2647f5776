import type { FileEntry, FilePath, FileTree } from 'qcow2-web/files'

/** Directories deeper than this are not entered: a corrupt file system can contain itself. */
const DEEPEST = 200

interface Options {
  signal: AbortSignal
  /** Called for each directory that cannot be read. */
  onUnreadable?(): void
}

interface Directory {
  path: FilePath
  depth: number
  /** What identifies the directories that lead here. */
  within: readonly string[]
}

/** All entries below a directory: those of a directory before those deeper down. Does not follow symbolic links. */
export async function* below(
  volume: FileTree,
  path: FilePath,
  { signal, onUnreadable }: Options,
): AsyncGenerator<FileEntry> {
  const waiting: Directory[] = [{ path, depth: 0, within: [] }]
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { depth, within } = next
    try {
      for await (const entry of volume.list(next.path, { signal })) {
        yield entry
        if (entry.kind !== 'directory' || depth === DEEPEST || entry.problem) continue
        if (entry.inode !== undefined && within.includes(entry.inode)) continue
        waiting.push({
          path: entry.path,
          depth: depth + 1,
          within: entry.inode === undefined ? within : [...within, entry.inode],
        })
      }
    } catch (error) {
      if (signal.aborted || depth === 0) throw error
      onUnreadable?.()
    }
  }
}
