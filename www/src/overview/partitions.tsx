import type { Disk } from '../engine/protocol'
import { type Partition, type PartitionTable, segments } from '../partitions'
import { go, START } from '../state/route'
import { partitionTable } from '../state/survey'
import { Notice } from '../ui/notice'
import { Size } from '../ui/size'
import { useLimit } from '../ui/use-limit'
import { formatOffset } from '../values/offset'
import { formatSize } from '../values/size'

const SCHEMES = { gpt: 'GUID partition table', mbr: 'MBR partition table' } as const

/** Gaps smaller than this are only what alignment leaves. */
const SHOWN_GAP = 2 * 1024 * 1024

/** The partitions of a disk, each with the ways to it; to the map only `withMap`. */
export function Partitions({ disk, withMap = true }: { disk: Disk; withMap?: boolean }) {
  const table = partitionTable.value
  if (!table) return null
  const words = emptyWords(table)
  return (
    <section class="card across" aria-labelledby="partitions-title">
      <h2 id="partitions-title">
        Partitions {table.scheme !== 'none' && <span class="soft">{SCHEMES[table.scheme]}</span>}
      </h2>
      {table.problems.map((problem) => (
        <Notice key={problem} tone="warn">
          {problem}
        </Notice>
      ))}
      {table.partitions.length > 0 ? (
        <List table={table} disk={disk} withMap={withMap} />
      ) : (
        words && <p class="soft">{words}</p>
      )}
    </section>
  )
}

function emptyWords(table: PartitionTable): string | null {
  if (table.scheme !== 'none') return 'The table has no entries.'
  // What could not be read may have been one.
  if (table.problems.length > 0) return null
  const { contents } = table
  if (!contents) return 'No partition table, and no file system that this page knows, at the start of the disk.'
  const label = contents.label ? ` named “${contents.label}”` : ''
  return `No partition table: the whole disk is ${contents.format}${label}.`
}

function List({ table, disk, withMap }: { table: PartitionTable; disk: Disk; withMap: boolean }) {
  const gaps = segments(table, disk.size).filter((part) => !part.partition && part.length >= SHOWN_GAP)
  const rows = [...table.partitions.map((partition) => ({ partition, ...partition })), ...gaps]
  rows.sort((a, b) => a.start - b.start)
  const [shown, more] = useLimit(rows)
  return (
    <div class="wide-table">
      <table class="list stacks">
        <thead>
          <tr>
            <th scope="col">No.</th>
            <th scope="col">Name</th>
            <th scope="col">Holds</th>
            <th scope="col">Type</th>
            <th scope="col" class="end">
              Start
            </th>
            <th scope="col" class="end">
              Size
            </th>
            <td />
          </tr>
        </thead>
        <tbody>
          {shown.map((row) =>
            'partition' in row && row.partition ? (
              <PartitionRow key={`p${row.partition.number}`} partition={row.partition} withMap={withMap} />
            ) : (
              <tr key={`gap ${row.start}`} class="soft">
                <td />
                <td colSpan={3}>Free</td>
                <td class="end mono">{formatOffset(row.start)}</td>
                <td class="end">{formatSize(row.length)}</td>
                <td />
              </tr>
            ),
          )}
        </tbody>
      </table>
      {more}
    </div>
  )
}

function PartitionRow({ partition, withMap }: { partition: Partition; withMap: boolean }) {
  const { number, name, contents, type, typeId, start, length, kind, bootable } = partition
  const title = name ?? contents?.label
  const open = (panel: 'map' | 'hex') => go({ panel, at: BigInt(start), of: 'disk' }, 'push')
  return (
    <tr data-partition={number}>
      <td class="number">{number}</td>
      <th scope="row">{title ?? <span class="soft">–</span>}</th>
      <td>
        {contents ? [contents.format, name && contents.label && `“${contents.label}”`].filter(Boolean).join(' ') : ''}
      </td>
      <td title={typeId}>
        {type}
        {kind === 'logical' && <span class="soft"> (logical)</span>}
        {bootable && <span class="soft"> (boot)</span>}
      </td>
      <td class="end mono" data-label="from">
        {formatOffset(start)}
      </td>
      <td class="end">
        <Size bytes={length} />
      </td>
      <td class="end">
        <span class="row-actions">
          {contents && contents.format !== 'swap' && (
            <button
              type="button"
              class="button small"
              aria-label={`Files of partition ${number}`}
              onClick={() => go({ panel: 'files', volume: `p${number}`, path: START.path }, 'push')}
            >
              Files
            </button>
          )}
          {withMap && (
            <button
              type="button"
              class="button small"
              aria-label={`Map of partition ${number}`}
              onClick={() => open('map')}
            >
              Map
            </button>
          )}
          <button
            type="button"
            class="button small"
            aria-label={`Bytes of partition ${number}`}
            onClick={() => open('hex')}
          >
            Bytes
          </button>
        </span>
      </td>
    </tr>
  )
}
