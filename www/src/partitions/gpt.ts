import { crc32 } from './crc32'
import type { Partition, PartitionTable, ReadBytes } from './model'
import { gptTypeName } from './types'

/** Entries beyond these are not read: the usual table has 128 in 16 KiB, and a hostile one could ask for gigabytes. */
const MAX_TABLE_BYTES = 1024 * 1024
const MAX_ENTRIES = 1024
const UNUSED = '00000000-0000-0000-0000-000000000000'
const PROTECTIVE = 0xee

interface Header {
  sectorSize: number
  entriesOffset: number
  entryCount: number
  entrySize: number
  entriesCrc: number
}

export async function readGpt(read: ReadBytes, first: Uint8Array, size: number): Promise<PartitionTable | null> {
  for (const sectorSize of [512, 4096]) {
    const primary = parseHeader(await read(sectorSize, sectorSize), sectorSize, size)
    if (primary) return readTable(read, primary, size, [])
  }
  if (!hasProtectiveEntry(first)) return null

  for (const sectorSize of [512, 4096]) {
    const backup = parseHeader(await read(size - sectorSize, sectorSize), sectorSize, size)
    if (!backup) continue
    return readTable(read, backup, size, ['The first GPT header is corrupt; this is the copy at the end of the disk.'])
  }
  const problem = 'The disk announces a GPT, but neither the header nor its copy at the end of the disk can be read.'
  return { scheme: 'gpt', sectorSize: 512, partitions: [], problems: [problem] }
}

function hasProtectiveEntry(sector: Uint8Array): boolean {
  return sector[510] === 0x55 && sector[511] === 0xaa && [450, 466, 482, 498].some((at) => sector[at] === PROTECTIVE)
}

/** A header with a valid signature, checksum and bounds, or `null`. */
function parseHeader(sector: Uint8Array, sectorSize: number, size: number): Header | null {
  if (String.fromCharCode(...sector.subarray(0, 8)) !== 'EFI PART') return null
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength)
  const headerSize = view.getUint32(12, true)
  if (headerSize < 92 || headerSize > sectorSize) return null

  const summed = sector.slice(0, headerSize)
  summed.fill(0, 16, 20)
  if (crc32(summed) !== view.getUint32(16, true)) return null

  const entrySize = view.getUint32(84, true)
  const firstEntry = view.getBigUint64(72, true)
  if (entrySize < 128 || entrySize > 4096 || entrySize % 8 || firstEntry * BigInt(sectorSize) >= BigInt(size))
    return null
  return {
    sectorSize,
    entriesOffset: Number(firstEntry) * sectorSize,
    entryCount: view.getUint32(80, true),
    entrySize,
    entriesCrc: view.getUint32(88, true),
  }
}

async function readTable(read: ReadBytes, header: Header, size: number, problems: string[]): Promise<PartitionTable> {
  const room = Math.min(MAX_TABLE_BYTES, size - header.entriesOffset)
  const count = Math.min(header.entryCount, MAX_ENTRIES, Math.floor(room / header.entrySize))
  const bytes = await read(header.entriesOffset, count * header.entrySize)
  if (count < header.entryCount) {
    problems.push(`The GPT announces ${header.entryCount} entries; the first ${count} are shown.`)
  } else if (crc32(bytes) !== header.entriesCrc) {
    problems.push('The checksum of the GPT entries is wrong; they may be corrupt.')
  }

  const table: PartitionTable = { scheme: 'gpt', sectorSize: header.sectorSize, partitions: [], problems }
  for (let index = 0; index < count; index++) {
    const entry = bytes.subarray(index * header.entrySize, (index + 1) * header.entrySize)
    const partition = parseEntry(entry, index + 1, header.sectorSize, size)
    if (partition === 'unused') continue
    if (partition) table.partitions.push(partition)
    else problems.push(`GPT entry ${index + 1} is outside the disk and is not shown.`)
  }
  return table
}

function parseEntry(bytes: Uint8Array, number: number, sectorSize: number, size: number): Partition | 'unused' | null {
  const typeId = guid(bytes)
  if (typeId === UNUSED) return 'unused'
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const first = view.getBigUint64(32, true)
  const last = view.getBigUint64(40, true)
  if (last < first || first * BigInt(sectorSize) >= BigInt(size)) return null

  // What reaches past the end is shown up to it and one sector more, so that the overlap check sees it.
  const end = (last + 1n) * BigInt(sectorSize)
  const start = Number(first) * sectorSize
  const bounded = end > BigInt(size) ? size + sectorSize : Number(end)
  const name = new TextDecoder('utf-16le').decode(bytes.subarray(56, 128)).replace(/\0.*$/s, '')
  return {
    number,
    start,
    length: bounded - start,
    kind: 'gpt',
    type: gptTypeName(typeId),
    typeId,
    ...(name && { name }),
    bootable: (view.getUint8(48) & 4) !== 0,
  }
}

/** The mixed-endian form in which a GPT writes a GUID, as text. */
export function guid(bytes: Uint8Array): string {
  const hex = (indexes: number[]) => indexes.map((index) => (bytes[index] ?? 0).toString(16).padStart(2, '0')).join('')
  const groups = [
    [3, 2, 1, 0],
    [5, 4],
    [7, 6],
    [8, 9],
    [10, 11, 12, 13, 14, 15],
  ]
  return groups.map(hex).join('-').toUpperCase()
}
