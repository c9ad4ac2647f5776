import { useEffect, useState } from 'preact/hooks'
import { engine } from '../engine/client'
import type { Disk, Explained, OpenFile } from '../engine/protocol'
import { storedIn } from '../engine/stored-in'
import { go } from '../state/route'
import { partitionTable } from '../state/survey'
import { formatOffset } from '../values/offset'
import { formatCount } from '../values/size'
import type { Blocks } from './blocks'
import { readings } from './decode'

const LENGTH = 16

interface Props {
  blocks: Blocks
  size: number
  at: bigint
  /** The disk, where these are its bytes. */
  disk: Disk | null
  files: OpenFile[]
}

/** What the selected byte, and those after it, may mean; and where it is stored. */
export function Inspector({ blocks, size, at, disk, files }: Props) {
  void blocks.arrived.value
  const [littleEndian, setLittleEndian] = useState(true)
  const bytes = following(blocks, size, at)
  const byte = size > 0 ? blocks.byte(at) : null
  return (
    <aside class="inspector card" aria-label="The selected byte">
      <h2 class="mono">{formatOffset(at)}</h2>
      <dl class="position">
        <dt>Byte</dt>
        <dd>{at.toLocaleString('en')}</dd>
        <dt>Sector</dt>
        <dd>
          {(at / 512n).toLocaleString('en')} <span class="soft">+ {String(at % 512n)}</span>
        </dd>
        {disk && <Position disk={disk} at={at} files={files} />}
      </dl>
      {typeof byte === 'string' && <p class="bad-text unread">Can’t be read: {byte}</p>}
      <div class="joined" role="group" aria-label="Byte order">
        <button type="button" class="button small" aria-pressed={littleEndian} onClick={() => setLittleEndian(true)}>
          Little-endian
        </button>
        <button type="button" class="button small" aria-pressed={!littleEndian} onClick={() => setLittleEndian(false)}>
          Big-endian
        </button>
      </div>
      <dl class="readings">
        {readings(bytes, littleEndian).map(({ name, value }) => (
          <div key={name} data-reading={name}>
            <dt>{name}</dt>
            <dd class="mono">{value}</dd>
          </div>
        ))}
      </dl>
    </aside>
  )
}

/** The partition around a byte of the disk, and the file that has the byte. */
function Position({ disk, at, files }: { disk: Disk; at: bigint; files: OpenFile[] }) {
  const sector = Number(at - (at % 512n))
  const [explained, setExplained] = useState<Explained | null>(null)
  useEffect(() => {
    // In a raw disk both offsets are the same.
    if (files.length === 0) return
    const controller = new AbortController()
    const end = Math.min(disk.size, sector + 512)
    engine.explain(disk.snapshot, sector, end, controller.signal).then(
      (result) => {
        if (!controller.signal.aborted) setExplained(result)
      },
      () => setExplained(null),
    )
    return () => controller.abort()
  }, [disk.snapshot, sector, disk.size])

  const partition = partitionTable.value?.partitions.find(
    ({ kind, start, length }) => kind !== 'extended' && at >= BigInt(start) && at < BigInt(start) + BigInt(length),
  )
  return (
    <>
      {partition && (
        <>
          <dt>Partition</dt>
          <dd>
            {partition.number} <span class="soft">+ {formatOffset(at - BigInt(partition.start))}</span>
          </dd>
        </>
      )}
      {files.length > 0 && (
        <>
          <dt>Stored</dt>
          <dd>{explained && <Stored explained={explained} at={at} sector={sector} files={files} />}</dd>
        </>
      )}
    </>
  )
}

function Stored({
  explained,
  at,
  sector,
  files,
}: {
  explained: Explained
  at: bigint
  sector: number
  files: OpenFile[]
}) {
  const { extent, location } = explained
  if (!extent.data) return <>not: it reads as zero</>
  const file = storedIn(extent, files)
  const host = extent.compressed && extent.depth === 0 ? location.hostOffset : extent.offset
  if (host === undefined || !file) return <>in {file?.name ?? 'a file of the chain'}</>
  const exact = extent.compressed ? BigInt(host) : BigInt(host) + at - BigInt(sector)
  return (
    <>
      <button
        type="button"
        class="link mono"
        data-host={String(exact)}
        onClick={() => go({ of: file.key, at: exact }, 'push')}
      >
        {formatOffset(exact)}
      </button>
      <br />
      <span class="soft">
        {extent.compressed ? `compressed, in ${file.name}` : `in ${file.name}`}
        {extent.depth > 1 && `, file ${formatCount(extent.depth)} of the chain`}
      </span>
    </>
  )
}

function following(blocks: Blocks, size: number, at: bigint): Uint8Array {
  const bytes: number[] = []
  for (let index = 0n; index < BigInt(LENGTH) && at + index < BigInt(size); index++) {
    const byte = blocks.byte(at + index)
    if (typeof byte !== 'number') break
    bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
