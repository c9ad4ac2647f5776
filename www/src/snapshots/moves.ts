import type { FileChange } from '../engine/protocol'
import { textOf } from '../files/path'

/**
 * Joins what was removed and added with the same inode, size and time: such a file was moved, or renamed. Where the file system
 * gives no inodes, the name has to be the same.
 */
export function withMoves(changes: readonly FileChange[]): FileChange[] {
  const removed = new Map<string, FileChange>()
  for (const change of changes) {
    const key = keyOf(change, change.before)
    if (change.kind === 'removed' && key) removed.set(key, change)
  }
  const moved = new Set<FileChange>()
  const joined = changes.map((change): FileChange => {
    const key = change.kind === 'added' ? keyOf(change, change.after) : null
    const from = key ? removed.get(key) : undefined
    if (!from?.before || moved.has(from)) return change
    moved.add(from)
    return { ...change, kind: 'moved', from: from.path, before: from.before }
  })
  return joined
    .filter((change) => !moved.has(change))
    .sort((one, other) => order.compare(`${one.volume} ${textOf(one.path)}`, `${other.volume} ${textOf(other.path)}`))
}

const order = new Intl.Collator('en', { numeric: true })

function keyOf({ volume, path, inode, isDirectory }: FileChange, state: FileChange['before']): string | null {
  // What is in a directory is listed too, with its own moves.
  if (isDirectory || !state) return null
  return JSON.stringify([volume, inode ?? textOf(path).split('/').pop(), state.size, state.modified])
}
