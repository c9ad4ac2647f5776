/**
 * The partition table of a disk: GPT, MBR with its logical partitions, or none.
 *
 * Everything read here comes from an image that may be hostile, so each table has a bound, each chain an end, and a
 * partition that makes no sense is reported as a problem and never trusted by the rest of the page.
 */

import { type Contents, probeContents } from './contents'
import { readGpt } from './gpt'
import { readMbr } from './mbr'
import type { Partition, PartitionTable, ReadBytes } from './model'

export type { Partition, PartitionTable, ReadBytes } from './model'

/** A stretch of the disk as the bar shows it: a partition, or the free space between two. */
export interface Segment {
  start: number
  length: number
  partition?: Partition
}

/** Returns whether anything on a disk may have files. */
export function mayHaveFiles({ contents, partitions }: PartitionTable): boolean {
  const held = [contents, ...partitions.map((partition) => partition.contents)]
  return held.some((each) => each !== undefined && each.format !== 'swap')
}

/** How many partitions are probed for their contents. A table may name thousands. */
const MAX_PROBED = 32

export async function readPartitions(read: ReadBytes, size: number): Promise<PartitionTable> {
  const bounded: ReadBytes = async (offset, length) => {
    if (offset < 0 || offset + length > size) return new Uint8Array(length)
    return read(offset, length)
  }
  if (size < 512) return { scheme: 'none', sectorSize: 512, partitions: [], problems: [] }

  const first = await bounded(0, 512)
  const table = (await readGpt(bounded, first, size)) ?? (await readMbr(bounded, first, size))
  if (!table) {
    return {
      scheme: 'none',
      sectorSize: 512,
      partitions: [],
      problems: [],
      ...found(await probeContents(bounded, 0, size)),
    }
  }

  table.partitions.sort((a, b) => a.start - b.start || b.length - a.length)
  markProblems(table, size)
  for (const partition of table.partitions.slice(0, MAX_PROBED)) {
    if (partition.problem || partition.kind === 'extended') continue
    Object.assign(partition, found(await probeContents(bounded, partition.start, partition.length)))
  }
  return table
}

const found = (contents: Contents | undefined): { contents?: Contents } => (contents ? { contents } : {})

/** Notes for each partition whether it leaves the disk or overlaps another one. */
function markProblems(table: PartitionTable, size: number): void {
  let end = 0
  let before: Partition | undefined
  for (const partition of table.partitions) {
    const partitionEnd = partition.start + partition.length
    if (partitionEnd > size) {
      partition.problem ??= `Partition ${partition.number} reaches past the end of the disk.`
    } else if (partition.kind !== 'extended' && partition.start < end && before) {
      partition.problem ??= `Partition ${partition.number} overlaps partition ${before.number}.`
    }
    if (partition.problem) table.problems.push(partition.problem)
    if (partition.kind === 'extended' || partitionEnd <= end) continue
    end = partitionEnd
    before = partition
  }
}

/** The disk from its first to its last byte, free space included; an extended partition appears as its logical partitions and free space. */
export function segments(table: PartitionTable, size: number): Segment[] {
  const result: Segment[] = []
  let at = 0
  for (const partition of table.partitions) {
    if (partition.kind === 'extended') continue
    const start = Math.max(at, Math.min(partition.start, size))
    const end = Math.min(partition.start + partition.length, size)
    if (end <= start) continue
    if (start > at) result.push({ start: at, length: start - at })
    result.push({ start, length: end - start, partition })
    at = end
  }
  if (at < size) result.push({ start: at, length: size - at })
  return result
}
