/** A GUID partition table with its protective MBR and its copy at the end, as pieces to write. */

import { crc32 } from 'node:zlib'

export const MIB = 1024 * 1024
const SECTOR = 512
const ENTRIES = 128
const ENTRY_SIZE = 128
const TABLE_SECTORS = (ENTRIES * ENTRY_SIZE) / SECTOR

/** @returns {[number, Buffer][]} offsets and bytes */
export function gpt(size, partitions) {
  const last = size / SECTOR - 1
  const table = Buffer.alloc(ENTRIES * ENTRY_SIZE)
  for (const [index, partition] of partitions.entries()) {
    entry(index + 1, partition).copy(table, index * ENTRY_SIZE)
  }
  return [
    [0, protectiveMbr(last)],
    [SECTOR, header({ own: 1, other: last, table: 2, last, entries: table })],
    [2 * SECTOR, table],
    [(last - TABLE_SECTORS) * SECTOR, table],
    [last * SECTOR, header({ own: last, other: 1, table: last - TABLE_SECTORS, last, entries: table })],
  ]
}

function entry(number, { type, name, start, length }) {
  const bytes = Buffer.alloc(ENTRY_SIZE)
  guid(type).copy(bytes, 0)
  guid(`5A3E0000-0000-4000-8000-00000000000${number}`).copy(bytes, 16)
  bytes.writeBigUInt64LE(BigInt(start / SECTOR), 32)
  bytes.writeBigUInt64LE(BigInt((start + length) / SECTOR - 1), 40)
  bytes.write(name, 56, 'utf16le')
  return bytes
}

function header({ own, other, table, last, entries }) {
  const bytes = Buffer.alloc(SECTOR)
  bytes.write('EFI PART', 0, 'latin1')
  bytes.writeUInt32LE(0x10000, 8)
  bytes.writeUInt32LE(92, 12)
  bytes.writeBigUInt64LE(BigInt(own), 24)
  bytes.writeBigUInt64LE(BigInt(other), 32)
  bytes.writeBigUInt64LE(BigInt(2 + TABLE_SECTORS), 40)
  bytes.writeBigUInt64LE(BigInt(last - TABLE_SECTORS - 1), 48)
  guid('5A3E0000-0000-4000-8000-000000000000').copy(bytes, 56)
  bytes.writeBigUInt64LE(BigInt(table), 72)
  bytes.writeUInt32LE(ENTRIES, 80)
  bytes.writeUInt32LE(ENTRY_SIZE, 84)
  bytes.writeUInt32LE(crc32(entries), 88)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 16)
  return bytes
}

function protectiveMbr(last) {
  const bytes = Buffer.alloc(SECTOR)
  Buffer.from([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]).copy(bytes, 446)
  bytes.writeUInt32LE(1, 454)
  bytes.writeUInt32LE(last, 458)
  bytes[510] = 0x55
  bytes[511] = 0xaa
  return bytes
}

/** A GUID in the mixed-endian form of the table. */
function guid(text) {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
