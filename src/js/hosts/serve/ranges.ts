/** A part of a disk: from `start` up to, and without, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** More ranges than this in one request are refused: each costs a header, and reads of its own. */
const most = 64

/**
 * The ranges of a `Range` header.
 *
 * @returns `undefined` if the header is not one of bytes, or not well formed: it is to be ignored then; `unsatisfiable` if no
 * range begins inside `size` bytes, or if there are too many.
 */
export function parseRanges(header: string, size: number): readonly ByteRange[] | 'unsatisfiable' | undefined {
  const set = /^bytes\s*=(.*)$/i.exec(header.trim())?.[1]
  if (set === undefined) return undefined
  const specifiers = set.split(',').map((each) => each.trim())
  const ranges: ByteRange[] = []
  for (const specifier of specifiers.filter((each) => each !== '')) {
    const parsed = parseRange(specifier, size)
    if (!parsed) return undefined
    if (parsed.start < parsed.end) ranges.push(parsed)
  }
  if (specifiers.every((each) => each === '')) return undefined
  return ranges.length === 0 || ranges.length > most ? 'unsatisfiable' : ranges
}

/** One range; an empty one if it has nothing of the disk. */
function parseRange(specifier: string, size: number): ByteRange | undefined {
  const match = /^(\d*)-(\d*)$/.exec(specifier)
  const [, first, last] = match ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  if (first === '') return { start: Math.max(0, size - Number(last)), end: size }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  return { start: Math.min(start, size), end }
}
