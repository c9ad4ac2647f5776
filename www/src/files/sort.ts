import type { FileEntry } from 'qcow2-web/files'

export const COLUMNS = ['name', 'size', 'modified'] as const
export type Column = (typeof COLUMNS)[number]

export interface Order {
  by: Column
  descending: boolean
}

// As file managers have it: "file 9" before "file 10".
const names = new Intl.Collator(undefined, { numeric: true })

/** The entries in order: directories first, and those that are the same by their names. */
export function sorted(entries: readonly FileEntry[], { by, descending }: Order): FileEntry[] {
  const sign = descending ? -1 : 1
  const isFile = (entry: FileEntry) => (entry.kind === 'directory' ? 0 : 1)
  const byValue = (a: FileEntry, b: FileEntry) => {
    if (by === 'name') return 0
    // What has no date comes last.
    const last = descending ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
    const [left, right] = [a[by] ?? last, b[by] ?? last]
    return left === right ? 0 : left < right ? -1 : 1
  }
  return [...entries].sort(
    (a, b) =>
      isFile(a) - isFile(b) || sign * byValue(a, b) || (by === 'name' ? sign : 1) * names.compare(a.name, b.name),
  )
}

/** The order after a click on the title of a column: reversed if that column is already the one that sorts. */
export function toggled(order: Order, by: Column): Order {
  if (order.by === by) return { by, descending: !order.descending }
  // The largest and the newest are what people look for.
  return { by, descending: by !== 'name' }
}
