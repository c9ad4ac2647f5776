import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { kindOf } from '../engine/buckets'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Disk, Explained, OpenedImage, OpenFile } from '../engine/protocol'
import { storedIn } from '../engine/stored-in'
import { go } from '../state/route'
import { KIND_MEANINGS, KIND_NAMES } from '../ui/kinds'
import { Notice } from '../ui/notice'
import { Size } from '../ui/size'
import { formatOffset } from '../values/offset'
import { exactBytes, formatCount, formatSize } from '../values/size'
import { entryFlags, entryText } from './entry'
import { Subclusters } from './subclusters'

interface Props {
  image: OpenedImage
  disk: Disk
  start: number
  end: number
}

/** The way from a guest offset to its bytes in a file: L1, L2, host offset. */
export function WalkPanel({ image, disk, start, end }: Props) {
  const [explained, setExplained] = useState<Explained | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  useEffect(() => {
    const controller = new AbortController()
    engine.explain(disk.snapshot, start, end, controller.signal).then(
      (result) => {
        if (controller.signal.aborted) return
        setExplained(result)
        setProblem(null)
      },
      (error) => {
        if (!controller.signal.aborted) setProblem(messageOf(error))
      },
    )
    return () => controller.abort()
  }, [disk.snapshot, start, end])
  const late = explained !== null && (explained.offset < start || explained.offset >= end)
  return (
    <aside class={`walk card ${late ? 'late' : ''}`} aria-busy={late} aria-label="Where the selected cluster is stored">
      {problem ? (
        <Notice tone="bad">{problem}</Notice>
      ) : (
        explained && <Walk explained={explained} image={image} start={start} end={end} />
      )}
    </aside>
  )
}

function Walk({
  explained,
  image,
  start,
  end,
}: {
  explained: Explained
  image: OpenedImage
  start: number
  end: number
}) {
  const { offset, extent, location } = explained
  const { clusterSize } = image.info
  const kind = kindOf(extent)
  const cluster = Math.floor(offset / clusterSize)
  const several = end - start > clusterSize
  return (
    <>
      <h2>
        <span class={`swatch ${kind}`} /> {KIND_NAMES[kind]}
      </h2>
      <p class="about">{KIND_MEANINGS[kind]}</p>
      <ol>
        <li>
          <h3>
            {several
              ? extent.data
                ? 'First stored cluster of the cell'
                : 'First cluster of the cell'
              : 'Guest cluster'}
          </h3>
          <p class="number">
            Cluster {formatCount(cluster)}, disk offset <OffsetLink of="disk" offset={offset} />
          </p>
        </li>
        <TableStep
          title={`L1 entry ${formatCount(location.l1Index)}`}
          at={location.l1EntryOffset}
          entry={location.l1Entry}
          empty="The L1 table ends before it: nothing is mapped."
        >
          {location.l2TableOffset === undefined ? (
            <p>No L2 table: nothing of these {formatSize(l1Coverage(image))} is mapped here.</p>
          ) : (
            <p>
              L2 table at <OffsetLink of="image" offset={location.l2TableOffset} />
            </p>
          )}
        </TableStep>
        {location.l2TableOffset !== undefined && (
          <TableStep
            title={`L2 entry ${formatCount(location.l2Index)}`}
            at={location.l2EntryOffset}
            entry={location.l2Entry}
            level2
            version={image.info.version}
            unallocated={location.kind === 'unallocated' && location.l2Bitmap === undefined}
          >
            {location.l2Bitmap !== undefined && <Subclusters bitmap={location.l2Bitmap} />}
          </TableStep>
        )}
        <li class="end">
          <Destination explained={explained} image={image} />
        </li>
      </ol>
    </>
  )
}

interface StepProps {
  title: string
  at: number | undefined
  entry: bigint | undefined
  level2?: boolean
  version?: number
  unallocated?: boolean
  empty?: string
  children?: ComponentChildren
}

function TableStep({ title, at, entry, level2 = false, version = 3, unallocated = false, empty, children }: StepProps) {
  const flags = entry === undefined ? [] : entryFlags(entry, level2, version)
  if (level2 && unallocated) flags.push('unallocated')
  return (
    <li>
      <h3>{title}</h3>
      {entry === undefined && empty && <p>{empty}</p>}
      {at !== undefined && (
        <p>
          in the file at <OffsetLink of="image" offset={at} />
        </p>
      )}
      {entry !== undefined && <code class="value">{entryText(entry)}</code>}
      {flags.length > 0 && (
        <p class="flags">
          {flags.map((flag) => (
            <span key={flag}>{flag}</span>
          ))}
        </p>
      )}
      {children}
    </li>
  )
}

/** Where the bytes are in the end, which may be another file. */
function Destination({ explained, image }: { explained: Explained; image: OpenedImage }) {
  const { extent, location } = explained
  const file = storedIn(extent, image.files)
  const host = extent.depth === 0 ? location.hostOffset : extent.offset
  const title = extent.data ? 'Host bytes' : 'No bytes'
  return (
    <>
      <h3>{title}</h3>
      {extent.data && host !== undefined && file ? (
        <>
          <p data-host={host}>
            {file.name} at <OffsetLink of={file.key} offset={host} />
          </p>
          {extent.compressed && extent.depth === 0 && location.compressedLength !== undefined && (
            <p class="soft">
              up to {formatSize(location.compressedLength)} compressed, for a cluster of{' '}
              {formatSize(image.info.clusterSize)}
            </p>
          )}
          {!extent.compressed && (
            <p class="soft number">
              a run of <Size bytes={extent.length} />
            </p>
          )}
        </>
      ) : (
        <p>{endWords(explained, file)}</p>
      )}
      {!extent.data && location.hostOffset !== undefined && extent.depth === 0 && (
        <p class="soft">
          A cluster is kept for it at <OffsetLink of={file?.key ?? 'image'} offset={location.hostOffset} />
        </p>
      )}
    </>
  )
}

function endWords({ extent }: Explained, file: OpenFile | undefined): string {
  if (extent.depth === 0 && extent.data) return 'Read from the data file, which is not open here.'
  if (extent.depth > 0 && extent.data) return `Read from ${file?.name ?? `file ${extent.depth} of the backing chain`}.`
  if (extent.depth > 0 && extent.present) return `Reads as zeros, as ${file?.name ?? 'the backing file'} does.`
  return 'Reads as zeros; no byte is stored for it.'
}

const l1Coverage = ({ info }: OpenedImage): number => (info.clusterSize / (info.extendedL2 ? 16 : 8)) * info.clusterSize

function OffsetLink({ of, offset }: { of: string; offset: number }) {
  const where = of === 'disk' ? 'of the disk' : 'of the file'
  return (
    <button
      type="button"
      class="link mono"
      title={`Show the bytes ${where} at ${exactBytes(offset)}`}
      onClick={() => go({ panel: 'hex', of, at: BigInt(offset) }, 'push')}
    >
      {formatOffset(offset)}
    </button>
  )
}
