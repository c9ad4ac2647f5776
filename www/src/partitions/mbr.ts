import type { Partition, PartitionTable, ReadBytes } from './model'
import { mbrTypeName } from './types'

const SECTOR = 512
const TABLE_OFFSET = 446
/** No tool creates more logical partitions than this. A longer chain is a loop or an attack. */
const MAX_LOGICAL = 128

interface Entry {
  bootable: boolean
  type: number
  start: number
  length: number
}

const isExtended = (type: number) => type === 0x05 || type === 0x0f || type === 0x85

export function hasBootSignature(sector: Uint8Array): boolean {
  return sector[510] === 0x55 && sector[511] === 0xaa
}

/** The four entries of a boot sector, or `null` where its bytes can't be a partition table. */
export function parseEntries(sector: Uint8Array): Entry[] | null {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength)
  const entries: Entry[] = []
  for (let index = 0; index < 4; index++) {
    const at = TABLE_OFFSET + 16 * index
    const status = view.getUint8(at)
    if (status & 0x7f) return null
    entries.push({
      bootable: status === 0x80,
      type: view.getUint8(at + 4),
      start: view.getUint32(at + 8, true) * SECTOR,
      length: view.getUint32(at + 12, true) * SECTOR,
    })
  }
  return entries
}

export async function readMbr(read: ReadBytes, first: Uint8Array, size: number): Promise<PartitionTable | null> {
  if (!hasBootSignature(first) || isVolumeBootSector(first)) return null
  const entries = parseEntries(first)
  if (!entries?.some((entry) => entry.type && entry.length && entry.start)) return null

  const table: PartitionTable = { scheme: 'mbr', sectorSize: SECTOR, partitions: [], problems: [] }
  let extended: Entry | undefined
  for (const [index, entry] of entries.entries()) {
    if (!entry.type || !entry.length) continue
    table.partitions.push(partition(entry, index + 1, isExtended(entry.type) ? 'extended' : 'primary'))
    if (isExtended(entry.type)) extended ??= entry
  }
  if (extended) await readLogical(read, extended, size, table)
  return table
}

/**
 * Walks the chain of extended boot records: the first entry of each is a logical partition (relative to that record),
 * the second points to the next record (relative to the extended partition).
 */
async function readLogical(read: ReadBytes, extended: Entry, size: number, table: PartitionTable): Promise<void> {
  const end = Math.min(extended.start + extended.length, size)
  const seen = new Set<number>()
  let record = extended.start
  for (let number = 5; ; number++) {
    if (record < extended.start || record + SECTOR > end) {
      table.problems.push('The chain of logical partitions leaves the extended partition; the rest is not shown.')
      return
    }
    if (seen.has(record) || seen.size >= MAX_LOGICAL) {
      table.problems.push('The chain of logical partitions has no end; the rest is not shown.')
      return
    }
    seen.add(record)

    const sector = await read(record, SECTOR)
    const entries = hasBootSignature(sector) ? parseEntries(sector) : null
    if (!entries) {
      table.problems.push(`The logical partition record at byte ${record} is not one; the rest is not shown.`)
      return
    }
    const [logical, next] = entries as [Entry, Entry, Entry, Entry]
    if (logical.type && logical.length) {
      table.partitions.push(partition({ ...logical, start: record + logical.start }, number, 'logical'))
    }
    if (!isExtended(next.type) || !next.length) return
    record = extended.start + next.start
  }
}

function partition(entry: Entry, number: number, kind: Partition['kind']): Partition {
  return {
    number,
    start: entry.start,
    length: entry.length,
    kind,
    type: mbrTypeName(entry.type),
    typeId: `0x${entry.type.toString(16).padStart(2, '0')}`,
    bootable: entry.bootable,
  }
}

/** A file system over the whole disk has the same signature, with code where the table would be. */
function isVolumeBootSector(sector: Uint8Array): boolean {
  const text = (at: number, length: number) => String.fromCharCode(...sector.subarray(at, at + length))
  const jump = sector[0] === 0xeb || sector[0] === 0xe9
  const volume =
    text(3, 8) === 'NTFS    ' || text(3, 8) === 'EXFAT   ' || text(54, 3) === 'FAT' || text(82, 5) === 'FAT32'
  return jump && volume
}
