import { KINDS } from '../engine/protocol'
import { partitionTable } from '../state/survey'
import { KIND_NAMES } from '../ui/kinds'
import { formatOffset } from '../values/offset'
import { formatShare, formatSize } from '../values/size'
import { startOf, type View } from './geometry'

interface Props {
  offset: number
  x: number
  y: number
  width: number
  view: View
  shares: Float64Array | null
}

export function Tooltip({ offset, x, y, width, view, shares }: Props) {
  const [title, ...lines] = describeCell(view, shares, offset)
  const side = x > width - 230 ? { right: `${width - x + 14}px` } : { left: `${x + 16}px` }
  return (
    <div class="tooltip" style={{ ...side, top: `${y + 16}px` }} aria-hidden="true">
      <b class="mono">{title}</b>
      {lines.map((line) => (
        <span key={line}>{line}</span>
      ))}
    </div>
  )
}

/** A cell in words: its offset, how much of it is stored, and its partition. */
export function describeCell(view: View, shares: Float64Array | null, offset: number): string[] {
  const length = Math.min(view.cell, view.size - offset)
  const lines = [`${formatOffset(offset)}, ${formatSize(length)}`]
  const index = Math.floor((offset - startOf(view)) / view.cell)
  if (shares && index >= 0) {
    const known = KINDS.map((kind, column) => ({ kind, bytes: shares[index * KINDS.length + column] ?? 0 }))
    const present = known.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
    const [only] = present
    if (present.length === 1 && only) lines.push(KIND_NAMES[only.kind])
    else for (const { kind, bytes } of present) lines.push(`${KIND_NAMES[kind]} ${formatShare(bytes, length)}`)
  }
  const partition = partitionTable.value?.partitions.find(
    (candidate) =>
      candidate.kind !== 'extended' && offset < candidate.start + candidate.length && offset + length > candidate.start,
  )
  if (partition) lines.push(`in ${partition.name || partition.contents?.label || `partition ${partition.number}`}`)
  return lines
}
