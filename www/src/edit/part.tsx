import { useState } from 'preact/hooks'
import type { Part } from '../engine/protocol'
import { partitionTable } from '../state/survey'
import { TextField } from '../ui/text-field'
import { formatOffset, parseOffset } from '../values/offset'
import { formatSize } from '../values/size'

interface Props {
  size: number
  /** `null` where what was typed is no range. */
  onChoose(part: Part | null): void
}

/** Chooses the whole disk, a partition, or a range. */
export function PartChoice({ size, onChoose }: Props) {
  const [chosen, setChosen] = useState('disk')
  const [start, setStart] = useState('0')
  const [end, setEnd] = useState(formatOffset(size))
  const partitions = (partitionTable.value?.partitions ?? []).filter(
    (partition) => partition.kind !== 'extended' && partition.start + partition.length <= size,
  )
  const typed = rangeOf(start, end, size)
  const choose = (name: string) => {
    setChosen(name)
    const partition = partitions.find(({ number }) => name === String(number))
    if (partition) onChoose({ start: partition.start, end: partition.start + partition.length })
    else onChoose(name === 'range' ? typed : { start: 0, end: size })
  }
  const type = (from: string, to: string) => {
    setStart(from)
    setEnd(to)
    onChoose(rangeOf(from, to, size))
  }
  return (
    <>
      <label for="part">Of</label>
      <select id="part" class="field" value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="disk">The whole disk, {formatSize(size)}</option>
        {partitions.map(({ number, name, type, length }) => (
          <option key={number} value={number}>
            Partition {number}: {name || type}, {formatSize(length)}
          </option>
        ))}
        <option value="range">A range of bytes</option>
      </select>
      {chosen === 'range' && (
        <>
          <TextField id="part-start" label="From" value={start} onChange={(text) => type(text, end)} />
          <TextField id="part-end" label="To before" value={end} onChange={(text) => type(start, text)} />
          {typed === null && (
            <p class="problem-text" role="alert">
              Write two offsets, the first one smaller: 0x1f0000, 1.5 GiB, 63 s, or -1M from the end.
            </p>
          )}
        </>
      )}
    </>
  )
}

function rangeOf(start: string, end: string, size: number): Part | null {
  const [from, to] = [start, end].map((text) => parseOffset(text, BigInt(size)))
  if (from == null || to == null || from < 0n || from >= to || to > BigInt(size)) return null
  return { start: Number(from), end: Number(to) }
}
