/** Where each part of a disk is drawn: in proportion to its length, but no partition too narrow for its name. */

interface Part {
  start: number
  length: number
  /** It has to be readable, so that it may be drawn wider than it is. */
  named: boolean
}

export interface ScaledPart {
  start: number
  length: number
  /** Where it is drawn, as shares of the whole width. */
  left: number
  width: number
}

/** What all names together may take from the rest. */
const MOST_USED = 0.7

/** Scales parts that follow each other without gaps. `narrowest` is the least width of a named part, as a share of the whole. */
export function scaled(parts: readonly Part[], narrowest: number): ScaledPart[] {
  const count = parts.filter(({ named }) => named).length
  const least = Math.min(narrowest, MOST_USED / Math.max(1, count))
  const widened = new Set<Part>()
  const total = parts.reduce((sum, { length }) => sum + length, 0)
  let rest = total
  let room = 1
  // Widening one leaves less for the others, of which the next may become too narrow by that.
  for (let found = true; found; ) {
    found = false
    for (const part of parts) {
      if (!part.named || widened.has(part) || (part.length / rest) * room >= least) continue
      widened.add(part)
      rest -= part.length
      room -= least
      found = true
    }
  }
  let left = 0
  return parts.map((part) => {
    const width = widened.has(part) ? least : rest > 0 ? (part.length / rest) * room : 0
    const placed = { start: part.start, length: part.length, left, width }
    left += width
    return placed
  })
}

/** Where an offset is drawn, as a share of the width. */
export function shareOf(parts: readonly ScaledPart[], offset: number): number {
  const part = parts.find(({ start, length }) => offset >= start && offset < start + length) ?? parts.at(-1)
  if (!part) return 0
  return part.left + (Math.min(part.length, offset - part.start) / part.length) * part.width
}

/** The offset that is drawn at a share of the width. */
export function offsetAt(parts: readonly ScaledPart[], share: number): number {
  const part = parts.find(({ left, width }) => share >= left && share < left + width) ?? parts.at(-1)
  if (!part) return 0
  return part.start + Math.min(part.length - 1, Math.floor(((share - part.left) / (part.width || 1)) * part.length))
}
