import type { Disk } from '../engine/protocol'
import { type Partition, type Segment, segments } from '../partitions'
import { go, route, START } from '../state/route'
import { partitionTable } from '../state/survey'
import { exactBytes, formatSize } from '../values/size'
import { AllocationStrip } from './allocation'
import { mapWindow } from './window'

const SCHEMES = { gpt: 'GPT', mbr: 'MBR', none: '' } as const

/** The whole disk from left to right: its partitions, and under them where anything is `stored`, if that differs. */
export function DiskStrip({ disk, stored = true }: { disk: Disk; stored?: boolean }) {
  const table = partitionTable.value
  const parts = table ? segments(table, disk.size) : []
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
      <div class="segments">
        {parts.map((part) => (
          <SegmentButton
            key={part.start}
            part={part}
            disk={disk}
            whole={parts.length === 1 ? table?.contents : undefined}
            goTo={goTo}
          />
        ))}
        <Cursor disk={disk} />
      </div>
      {stored && <AllocationStrip disk={disk} goTo={goTo} />}
      <p class="scheme">
        <span>{table ? SCHEMES[table.scheme] : 'Reading the partition table…'}</span>
        <span class="number">{formatSize(disk.size)}</span>
      </p>
    </section>
  )
}

interface SegmentProps {
  part: Segment
  disk: Disk
  /** What fills a disk without a partition table. */
  whole: { format: string; label?: string } | undefined
  goTo(offset: number, partition?: Partition): void
}

function SegmentButton({ part, disk, whole, goTo }: SegmentProps) {
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
  return (
    <button
      type="button"
      class={`segment ${partition || whole ? '' : 'free'}`}
      style={{ left: `${(100 * part.start) / disk.size}%`, width: `${(100 * part.length) / disk.size}%` }}
      // What alignment leaves is nothing to stop at.
      tabIndex={partition || whole ? 0 : -1}
      title={`${title}\n${detail} (${exactBytes(part.length)})\nfrom byte ${BigInt(part.start).toLocaleString('en')}`}
      onClick={() => goTo(part.start, partition)}
    >
      <span class="name">{title}</span>
      <span class="detail">{detail}</span>
      <span class="visually-hidden">, from {formatSize(part.start)}</span>
    </button>
  )
}

/** Where the map or the hex view looks, on the scale of the disk. */
function Cursor({ disk }: { disk: Disk }) {
  const { panel, at, of } = route.value
  const window = mapWindow.value
  if (panel === 'map' && window && window.end - window.start < disk.size) {
    const left = (100 * window.start) / disk.size
    const width = (100 * (window.end - window.start)) / disk.size
    return <span class="window" style={{ left: `${left}%`, width: `max(4px, ${width}%)` }} />
  }
  if (panel !== 'hex' || of !== 'disk') return null
  return <span class="tick" style={{ left: `${(100 * Number(at)) / disk.size}%` }} />
}
