import type { FileEntry } from 'qcow2-web/files'

/** What is selected in a list, as file managers have it. */
export interface Selection {
  /** Where the keyboard is. */
  cursor: FileEntry | null
  /** Where a range began. */
  anchor: FileEntry | null
  chosen: ReadonlySet<FileEntry>
}

export const NOTHING: Selection = { cursor: null, anchor: null, chosen: new Set() }

/** How a row is added: alone, added to the others or removed from them, or with all from the anchor on. */
export type Mode = 'one' | 'toggle' | 'range' | 'move'

export function selectRow(rows: readonly FileEntry[], before: Selection, index: number, mode: Mode): Selection {
  const entry = rows[index]
  if (!entry) return before
  if (mode === 'move') return { ...before, cursor: entry }
  if (mode === 'one') return { cursor: entry, anchor: entry, chosen: new Set([entry]) }
  if (mode === 'toggle') {
    const chosen = new Set(before.chosen)
    if (!chosen.delete(entry)) chosen.add(entry)
    return { cursor: entry, anchor: entry, chosen }
  }
  const from = Math.max(0, before.anchor ? rows.indexOf(before.anchor) : 0)
  const range = rows.slice(Math.min(from, index), Math.max(from, index) + 1)
  return { cursor: entry, anchor: rows[from] ?? entry, chosen: new Set(range) }
}

export const selectAll = (rows: readonly FileEntry[], before: Selection): Selection => ({
  ...before,
  chosen: new Set(rows),
})

/** The next row whose name begins with what was typed, from the row at `index` on; -1 if there is none. */
export function typedRow(rows: readonly FileEntry[], index: number, typed: string): number {
  const wanted = typed.toLowerCase()
  // One letter moves to the next such name. More letters may match the row that is selected.
  const start = typed.length === 1 ? index + 1 : Math.max(0, index)
  for (let step = 0; step < rows.length; step += 1) {
    const at = (start + step) % rows.length
    if (rows[at]?.name.toLowerCase().startsWith(wanted)) return at
  }
  return -1
}
