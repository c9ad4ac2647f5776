import type { Disk } from '../engine/protocol'
import { type Partition, type Segment, segments } from '../partitions'
import { go, route, START } from '../state/route'
import { partitionTable } from '../state/survey'
import { usages } from '../state/usage'
import { useSize } from '../ui/use-size'
import { exactBytes, formatSize } from '../values/size'
import { AllocationStrip } from './allocation'
import { type ScaledPart, scaled, shareOf } from './scale'
import { mapWindow } from './window'

/** The least width of a partition in pixels, if there is room. */
const READABLE = 76

const SCHEMES = { gpt: 'GPT', mbr: 'MBR', none: '' } as const

/** The whole disk from left to right: its partitions, and under them where anything is `stored`, if that differs. */
export function DiskStrip({ disk, stored = true }: { disk: Disk; stored?: boolean }) {
  const table = partitionTable.value
  const parts = table ? segments(table, disk.size) : [{ start: 0, length: disk.size }]
  const [box, { width }] = useSize<HTMLDivElement>()
  const scale = scaled(
    parts.map(({ start, length, partition }) => ({ start, length, named: partition !== undefined })),
    READABLE / Math.max(READABLE, width),
  )
  const goTo = (offset: number, partition?: Partition) => {
    const { panel } = route.peek()
    if (panel === 'files' && partition?.contents) {
      return go({ volume: `p${partition.number}`, path: START.path }, 'push')
    }
    go(
      { panel: panel === 'hex' || !stored ? 'hex' : 'map', at: BigInt(offset), of: 'disk' },
      panel === 'hex' ? 'replace' : 'push',
    )
  }
  if (disk.size === 0) return null
  return (
    <section class="strip" aria-label="The disk and its partitions">
      <div class="segments" ref={box}>
        {(table ? parts : []).map((part, index) => (
          <SegmentButton
            key={part.start}
            part={part}
            placed={scale[index]}
            disk={disk}
            whole={parts.length === 1 ? table?.contents : undefined}
            goTo={goTo}
          />
        ))}
        <Cursor disk={disk} scale={scale} />
      </div>
      {stored && <AllocationStrip scale={scale} goTo={goTo} />}
      <p class="scheme">
        <span>{table ? SCHEMES[table.scheme] : 'Reading the partition table…'}</span>
        <span class="number">{formatSize(disk.size)}</span>
      </p>
    </section>
  )
}

interface SegmentProps {
  part: Segment
  placed: ScaledPart | undefined
  disk: Disk
  /** What fills a disk without a partition table. */
  whole: { format: string; label?: string } | undefined
  goTo(offset: number, partition?: Partition): void
}

function SegmentButton({ part, placed, disk, whole, goTo }: SegmentProps) {
  const { partition } = part
  const contents = partition?.contents ?? whole
  const title = partition
    ? partition.name || contents?.label || `Partition ${partition.number}`
    : whole
      ? whole.label || whole.format
      : part.length === disk.size
        ? 'No partition table'
        : 'Free'
  const detail = [contents?.format ?? partition?.type, formatSize(part.length)].filter(Boolean).join(', ')
  const usage = usages.value.get(partition ? `p${partition.number}` : 'disk')
  const fill = usage ? usage.used / Math.max(1, usage.used + usage.free) : 0
  const usedWords = usage ? `\n${formatSize(usage.used)} used, ${formatSize(usage.free)} free` : ''
  return (
    <button
      type="button"
      class={`segment ${partition || whole ? '' : 'free'}`}
      style={{ left: percent(placed?.left ?? 0), width: percent(placed?.width ?? 0), '--used': percent(fill) }}
      data-used={usage ? fill.toFixed(3) : undefined}
      // What alignment leaves is nothing to stop at.
      tabIndex={partition || whole ? 0 : -1}
      title={`${title}\n${detail} (${exactBytes(part.length)})\nfrom byte ${BigInt(part.start).toLocaleString('en')}${usedWords}`}
      onClick={() => goTo(part.start, partition)}
    >
      <span class="name">{title}</span>
      <span class="detail">{detail}</span>
      <span class="visually-hidden">, from {formatSize(part.start)}</span>
    </button>
  )
}

/** Where the map or the hex view looks, on the scale of the disk. */
function Cursor({ disk, scale }: { disk: Disk; scale: ScaledPart[] }) {
  const { panel, at, of } = route.value
  const window = mapWindow.value
  if (panel === 'map' && window && window.end - window.start < disk.size) {
    const left = shareOf(scale, window.start)
    const width = shareOf(scale, window.end) - left
    return <span class="window" style={{ left: percent(left), width: `max(4px, ${percent(width)})` }} />
  }
  if (panel !== 'hex' || of !== 'disk') return null
  return <span class="tick" style={{ left: percent(shareOf(scale, Number(at))) }} />
}

const percent = (share: number): string => `${100 * share}%`
