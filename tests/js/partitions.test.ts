import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PartitionTable, type ReadBytes, readPartitions, segments } from '../../www/src/partitions'
import { crc32 } from '../../www/src/partitions/crc32'

const MIB = 1024 * 1024
const SECTOR = 512

/** Reads a disk of `size` bytes of which only the given pieces are not zero; counts what is read. */
class Disk {
  bytesRead = 0
  readonly pieces: [number, Uint8Array][] = []

  constructor(readonly size: number) {}

  put(at: number, bytes: ArrayLike<number> | string): this {
    const piece = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Uint8Array.from(bytes)
    this.pieces.push([at, piece])
    return this
  }

  readonly read: ReadBytes = async (offset, length) => {
    if (offset < 0 || offset + length > this.size) throw new RangeError(`${length} bytes at ${offset}`)
    this.bytesRead += length
    const result = new Uint8Array(length)
    for (const [at, bytes] of this.pieces) {
      for (let index = Math.max(0, offset - at); index < bytes.length && at + index < offset + length; index++) {
        result[at + index - offset] = bytes[index] ?? 0
      }
    }
    return result
  }

  partitions(): Promise<PartitionTable> {
    return readPartitions(this.read, this.size)
  }
}

/** A boot record whose table has the given entries: type, first sector, number of sectors, bootable. */
function bootRecord(...entries: [type: number, start: number, count: number, bootable?: boolean][]): Uint8Array {
  const sector = Buffer.alloc(SECTOR)
  for (const [index, [type, start, count, bootable]] of entries.entries()) {
    const at = 446 + 16 * index
    sector[at] = bootable ? 0x80 : 0
    sector[at + 4] = type
    sector.writeUInt32LE(start, at + 8)
    sector.writeUInt32LE(count, at + 12)
  }
  sector[510] = 0x55
  sector[511] = 0xaa
  return sector
}

const outline = (table: PartitionTable) =>
  table.partitions.map(({ number, kind, start, length }) => [number, kind, start / SECTOR, length / SECTOR])

test('the CRC-32 of its standard check value', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
})

describe('MBR', () => {
  test('primary partitions, with type names, sizes and the boot flag', async () => {
    const table = await new Disk(100 * MIB)
      .put(0, bootRecord([0x83, 2048, 40960, true], [0x82, 43008, 8192]))
      .partitions()
    expect(table.scheme).toBe('mbr')
    expect(table.problems).toEqual([])
    expect(outline(table)).toEqual([
      [1, 'primary', 2048, 40960],
      [2, 'primary', 43008, 8192],
    ])
    expect(table.partitions.map(({ type, typeId, bootable }) => [type, typeId, bootable])).toEqual([
      ['Linux', '0x83', true],
      ['Linux swap', '0x82', false],
    ])
  })

  test('logical partitions: each relative to its record, the records to the extended partition', async () => {
    const table = await new Disk(100 * MIB)
      .put(0, bootRecord([0x07, 2048, 2048], [0x05, 8192, 65536]))
      .put(8192 * SECTOR, bootRecord([0x83, 63, 1000], [0x05, 10000, 3000]))
      .put(18192 * SECTOR, bootRecord([0x0b, 100, 2000]))
      .partitions()
    expect(table.problems).toEqual([])
    expect(outline(table)).toEqual([
      [1, 'primary', 2048, 2048],
      [2, 'extended', 8192, 65536],
      [5, 'logical', 8255, 1000],
      [6, 'logical', 18292, 2000],
    ])
  })

  test('a chain of logical partitions that points back to its start ends', async () => {
    const disk = new Disk(100 * MIB)
      .put(0, bootRecord([0x0f, 8192, 65536]))
      .put(8192 * SECTOR, bootRecord([0x83, 63, 1000], [0x05, 10000, 3000]))
      .put(18192 * SECTOR, bootRecord([0x83, 63, 1000], [0x05, 0, 3000]))
    const table = await disk.partitions()
    expect(table.partitions.filter(({ kind }) => kind === 'logical')).toHaveLength(2)
    expect(table.problems).toEqual(['The chain of logical partitions has no end; the rest is not shown.'])
  })

  test('a chain that goes on and on is read up to 128 partitions', async () => {
    const disk = new Disk(100 * MIB).put(0, bootRecord([0x05, 2048, 200_000]))
    for (let index = 0; index < 1000; index++) {
      disk.put((2048 + 100 * index) * SECTOR, bootRecord([0x83, 1, 50], [0x05, 100 * (index + 1), 100]))
    }
    const table = await disk.partitions()
    expect(table.partitions.filter(({ kind }) => kind === 'logical')).toHaveLength(128)
    expect(table.problems).toEqual(['The chain of logical partitions has no end; the rest is not shown.'])
    expect(disk.bytesRead).toBeLessThan(4 * MIB)
  })

  test('a chain that leaves its extended partition, or leads to something else, ends there', async () => {
    const outside = await new Disk(100 * MIB)
      .put(0, bootRecord([0x05, 8192, 1000]))
      .put(8192 * SECTOR, bootRecord([0x83, 63, 100], [0x05, 0xfffffff0, 100]))
      .partitions()
    expect(outside.problems).toEqual([
      'The chain of logical partitions leaves the extended partition; the rest is not shown.',
    ])
    const text = await new Disk(100 * MIB)
      .put(0, bootRecord([0x05, 8192, 1000]))
      .put(8192 * SECTOR, 'not a record')
      .partitions()
    expect(text.problems).toEqual([
      `The logical partition record at byte ${8192 * SECTOR} is not one; the rest is not shown.`,
    ])
  })

  test('partitions past the end of the disk and over each other are reported, not believed', async () => {
    const table = await new Disk(10 * MIB)
      .put(0, bootRecord([0x83, 2048, 4096], [0x83, 4096, 4096], [0x83, 10000, 0xffffffff]))
      .partitions()
    expect(table.problems).toEqual([
      'Partition 2 overlaps partition 1.',
      'Partition 3 reaches past the end of the disk.',
    ])
    const parts = segments(table, 10 * MIB)
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(10 * MIB)
    expect(parts.every((part) => part.length > 0 && part.start + part.length <= 10 * MIB)).toBe(true)
  })

  test.each([
    ['without a signature', new Disk(MIB).put(446, [0, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 8])],
    ['with an impossible status byte', new Disk(MIB).put(0, bootRecord([0x83, 8, 8])).put(446, [0x12])],
    ['with entries that are empty', new Disk(MIB).put(0, bootRecord([0x83, 0, 0]))],
    [
      'that is the boot sector of a file system',
      new Disk(MIB).put(0, bootRecord([0x83, 8, 8])).put(0, '\xeb\x52\x90NTFS    '),
    ],
    ['too small for one', new Disk(0)],
  ])('none on a disk %s', async (_, disk) => {
    expect((await disk.partitions()).scheme).toBe('none')
  })
})

describe('GPT', () => {
  const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-partitions-'))
  const sample = fileURLToPath(new URL('../../www/public/sample.qcow2', import.meta.url))
  let raw: Buffer
  beforeAll(() => {
    execFileSync('qemu-img', ['convert', '-O', 'raw', sample, join(folder, 'raw')])
    raw = readFileSync(join(folder, 'raw'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const of = (bytes: Uint8Array, size = bytes.length) =>
    readPartitions(async (offset, length) => {
      if (offset + length > size) throw new RangeError(`${length} bytes at ${offset}`)
      return Uint8Array.from(bytes.subarray(offset, offset + length))
    }, size)
  /** The sample's disk with a header field changed, and the header's checksum put right again. */
  const withHeader = (change: (header: Buffer) => void): Buffer => {
    const changed = Buffer.from(raw)
    const header = changed.subarray(SECTOR, 2 * SECTOR)
    change(header)
    header.writeUInt32LE(0, 16)
    header.writeUInt32LE(crc32(header.subarray(0, header.readUInt32LE(12))), 16)
    return changed
  }

  test('partitions, their names, types and what they hold', async () => {
    const table = await of(raw)
    expect(table.scheme).toBe('gpt')
    expect(table.problems).toEqual([])
    const shown = table.partitions.map(({ number, start, length, name, type, contents }) => [
      ...[number, start / MIB, length / MIB, name, type],
      contents,
    ])
    expect(shown).toEqual([
      [1, 1, 7, 'EFI', 'EFI system', undefined],
      [2, 8, 48, 'Home', 'Linux file system', { format: 'ext4', label: 'home' }],
      [3, 56, 8, 'Notes', 'Microsoft basic data', undefined],
      [4, 80, 8, 'Swap', 'Linux swap', { format: 'swap', label: 'sample-swap' }],
    ])
  })

  test('the free space between partitions, before and after them', async () => {
    const parts = segments(await of(raw), raw.length)
    expect(parts.map((part) => [part.start / MIB, part.length / MIB, part.partition?.number ?? 'free'])).toEqual([
      [0, 1, 'free'],
      [1, 7, 1],
      [8, 48, 2],
      [56, 8, 3],
      [64, 16, 'free'],
      [80, 8, 4],
      [88, 8, 'free'],
    ])
  })

  test('with a corrupt header the copy at the end serves', async () => {
    const changed = Buffer.from(raw)
    changed[SECTOR + 40] = 99
    const table = await of(changed)
    expect(table.partitions).toHaveLength(4)
    expect(table.problems).toEqual(['The first GPT header is corrupt; this is the copy at the end of the disk.'])
  })

  test('with both headers corrupt that is reported', async () => {
    const changed = Buffer.from(raw)
    changed.fill(0, SECTOR, 2 * SECTOR)
    changed.fill(0, changed.length - SECTOR)
    const table = await of(changed)
    expect([table.scheme, table.partitions]).toEqual(['gpt', []])
    expect(table.problems).toEqual([
      'The disk announces a GPT, but neither the header nor its copy at the end of the disk can be read.',
    ])
  })

  test('entries that were changed are shown with a warning', async () => {
    const changed = Buffer.from(raw)
    changed[2 * SECTOR + 56] = 'X'.charCodeAt(0)
    const table = await of(changed)
    expect(table.partitions[0]?.name).toBe('XFI')
    expect(table.problems).toEqual(['The checksum of the GPT entries is wrong; they may be corrupt.'])
  })

  test('a table of billions of entries is read up to a bound', async () => {
    let most = 0
    const changed = withHeader((header) => header.writeUInt32LE(0xffffffff, 80))
    const table = await readPartitions(async (offset, length) => {
      most = Math.max(most, length)
      return Uint8Array.from(changed.subarray(offset, offset + length))
    }, changed.length)
    expect(most).toBeLessThanOrEqual(MIB)
    expect(table.problems[0]).toMatch(/^The GPT announces 4294967295 entries; the first 1024 are shown\.$/)
  })

  test.each([
    ['entries smaller than the least', 84, 64],
    ['entries of an odd size', 84, 129],
    ['entries larger than any', 84, 0x80000000],
  ])('a header with %s is not used', async (_, at, value) => {
    const table = await of(withHeader((header) => header.writeUInt32LE(value, at)))
    expect(table.problems).toContain('The first GPT header is corrupt; this is the copy at the end of the disk.')
  })

  test('a header whose entries begin past the end of the disk is not used', async () => {
    const table = await of(withHeader((header) => header.writeBigUInt64LE(1n << 60n, 72)))
    expect(table.problems).toContain('The first GPT header is corrupt; this is the copy at the end of the disk.')
  })

  test('an entry outside the disk is left out, one that reaches past its end is reported', async () => {
    const outside = Buffer.from(raw)
    outside.writeBigUInt64LE(1n << 61n, 2 * SECTOR + 32)
    outside.writeBigUInt64LE((1n << 64n) - 1n, 2 * SECTOR + 40)
    expect((await of(outside)).problems).toContain('GPT entry 1 is outside the disk and is not shown.')

    const reaching = Buffer.from(raw)
    reaching.writeBigUInt64LE((1n << 64n) - 1n, 2 * SECTOR + 3 * 128 + 40)
    const table = await of(reaching)
    expect(table.problems).toContain('Partition 4 reaches past the end of the disk.')
    expect(segments(table, raw.length).at(-1)).toMatchObject({ start: 80 * MIB, length: 16 * MIB })
  })

  test('with sectors of 4096 bytes', async () => {
    const size = 64 * MIB
    const entries = Buffer.alloc(4096)
    raw.copy(entries, 0, 2 * SECTOR, 2 * SECTOR + 128)
    entries.writeBigUInt64LE(256n, 32)
    entries.writeBigUInt64LE(511n, 40)
    const header = Buffer.from(raw.subarray(SECTOR, 2 * SECTOR))
    header.writeUInt32LE(4, 80)
    header.writeUInt32LE(crc32(entries.subarray(0, 512)), 88)
    header.writeUInt32LE(0, 16)
    header.writeUInt32LE(crc32(header.subarray(0, 92)), 16)
    const table = await new Disk(size)
      .put(0, bootRecord([0xee, 1, 0xffffffff]))
      .put(4096, header)
      .put(2 * 4096, entries)
      .partitions()
    expect([table.sectorSize, table.problems]).toEqual([4096, []])
    expect(table.partitions.map(({ start, length }) => [start, length])).toEqual([[MIB, MIB]])
  })
})

test('a file system over the whole disk is reported where there is no table', async () => {
  const disk = new Disk(MIB)
    .put(0, '\xeb\x3c\x90MSDOS5.0')
    .put(43, 'BOOT DISK  ')
    .put(54, 'FAT12   ')
    .put(510, [0x55, 0xaa])
  expect(await disk.partitions()).toMatchObject({
    scheme: 'none',
    partitions: [],
    contents: { format: 'FAT12', label: 'BOOT DISK' },
  })
})
