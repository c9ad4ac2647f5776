import { describe, expect, test } from 'vitest'
import { Buckets, kindOf } from '../../www/src/engine/buckets'
import { KINDS } from '../../www/src/engine/protocol'
import { readings } from '../../www/src/hex/decode'
import { entryFlags, entryText, subclusters } from '../../www/src/map/entry'
import { endOf, layout, offsetAt, startOf, validCell, viewOf, wholeCell } from '../../www/src/map/geometry'
import { rebucket } from '../../www/src/map/rebucket'
import { fileArgument } from '../../www/src/problem/shell-word'
import { clampOffset, formatOffset, parseOffset } from '../../www/src/values/offset'
import { exactBytes, formatShare, formatSize } from '../../www/src/values/size'
import { formatVmClock } from '../../www/src/values/time'

const KIB = 1024
const EIB = 2 ** 60

describe('sizes', () => {
  test.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [65_536, '64 KiB'],
    [196_616, '192 KiB'],
    [1024 * KIB - 1, '1 MiB'],
    [100 * 2 ** 30, '100 GiB'],
    [2 * EIB, '2 EiB'],
  ])('%d as %s', (bytes, text) => expect(formatSize(bytes)).toBe(text))

  test('exact bytes, beyond what a number prints', () => {
    expect(exactBytes(2 * EIB)).toBe('2,305,843,009,213,693,952 bytes')
  })

  test('a share is 0 % or 100 % only if it is', () => {
    const share = (part: number) => formatShare(part, 1_000_000)
    expect([0, 1, 4000, 50_000, 500_000, 996_000, 999_999, 1_000_000].map(share)).toEqual([
      '0 %',
      '< 0.1 %',
      '0.4 %',
      '5.0 %',
      '50 %',
      '99.6 %',
      '> 99.9 %',
      '100 %',
    ])
  })
})

describe('offsets', () => {
  test.each([
    ['0', 0n],
    ['0x1f0000', 0x1f0000n],
    ['0X1F_0000', 0x1f0000n],
    ['1f0000h', 0x1f0000n],
    ['1,048,576', 1048576n],
    ['64k', 65536n],
    ['1.5 GiB', 1536n * 1024n * 1024n],
    ['63 s', 63n * 512n],
    ['2 EiB', 1n << 61n],
    ['-1M', (1n << 62n) - 1024n * 1024n],
    [' 0xffffffffffffffff ', (1n << 64n) - 1n],
  ])('%j', (text, offset) => expect(parseOffset(text, 1n << 62n)).toBe(offset))

  test.each(['', 'hello', '0x', '1.5', '12 parsecs', '1e3', '0x10000000000000000', '--1'])('%j is none', (text) => {
    expect(parseOffset(text, 0n)).toBeNull()
  })

  test('stay on the disk, also where a number would round', () => {
    expect(clampOffset((1n << 61n) + 5n, 2 * EIB)).toBe((1n << 61n) - 1n)
    expect(clampOffset(-5n, 100)).toBe(0n)
    expect(clampOffset(5n, 0)).toBe(0n)
    expect(formatOffset((1n << 61n) - 1n)).toBe('0x1fffffffffffffff')
  })
})

test('a VM clock of more than a day, to the millisecond', () => {
  expect(formatVmClock((((25n * 60n + 1n) * 60n + 2n) * 1000n + 3n) * 1_000_000n)).toBe('25:01:02.003')
})

describe('the survey', () => {
  const run = { depth: 0, present: true, zero: false, data: true, compressed: false, offset: undefined }
  const column = (kind: (typeof KINDS)[number]) => KINDS.indexOf(kind)

  test.each([
    [{ ...run }, 'data'],
    [{ ...run, compressed: true }, 'compressed'],
    [{ ...run, zero: true, data: false }, 'zero'],
    [{ ...run, present: false, zero: true, data: false }, 'unallocated'],
    [{ ...run, depth: 1 }, 'backing1'],
    [{ ...run, depth: 2, compressed: true }, 'backing2'],
    [{ ...run, depth: 7 }, 'backing3'],
    [{ ...run, depth: 1, zero: true, data: false }, 'zero'],
  ])('%o is %s', (extent, kind) => expect(kindOf(extent)).toBe(kind))

  test('adds up, whatever the extents and the buckets are', () => {
    const buckets = new Buckets({ snapshot: null, start: 1000, end: 10_000, bucketSize: 1000 })
    buckets.add({ ...run, start: 0, length: 1500 })
    buckets.add({ ...run, start: 1500, length: 4000, zero: true, data: false })
    buckets.add({ ...run, start: 5500, length: 10_000, compressed: true })
    const { bytes, done } = buckets.survey()
    expect(done).toBe(10_000)
    expect(bytes.reduce((sum, count) => sum + count)).toBe(9000)
    const of = (kind: (typeof KINDS)[number]) =>
      Array.from({ length: 9 }, (_, i) => bytes[i * KINDS.length + column(kind)])
    expect(of('data')).toEqual([500, 0, 0, 0, 0, 0, 0, 0, 0])
    expect(of('zero')).toEqual([500, 1000, 1000, 1000, 500, 0, 0, 0, 0])
    expect(of('compressed')).toEqual([0, 0, 0, 0, 500, 1000, 1000, 1000, 1000])
  })

  test('of 2 EiB takes as many numbers as it has buckets', () => {
    const buckets = new Buckets({ snapshot: null, start: 0, end: 2 * EIB, bucketSize: 2 ** 49 })
    buckets.add({ ...run, start: 0, length: 2 * EIB })
    expect(buckets.survey().bytes).toHaveLength(4096 * KINDS.length)
    expect(() => new Buckets({ snapshot: null, start: 0, end: 2 * EIB, bucketSize: 2 ** 21 })).toThrow(RangeError)
  })

  test('on another scale: sums of whole buckets, shares of a part', () => {
    const buckets = new Buckets({ snapshot: null, start: 0, end: 8000, bucketSize: 1000 })
    buckets.add({ ...run, start: 0, length: 3000 })
    buckets.add({ ...run, start: 3000, length: 5000, present: false, zero: true, data: false })
    const survey = buckets.survey()
    const data = (start: number, cell: number, count: number) => {
      const shares = rebucket(survey, start, cell, count)
      return Array.from({ length: count }, (_, index) => shares[index * KINDS.length + column('data')])
    }
    expect(data(0, 2000, 4)).toEqual([2000, 1000, 0, 0])
    expect(data(2000, 500, 4)).toEqual([500, 500, 0, 0])
  })
})

describe('the grid of the map', () => {
  test.each([
    ['a small disk', 1024 * KIB, 65_536],
    ['a usual disk', 100 * 2 ** 30, 65_536],
    ['the largest disk', 2 * EIB, 2 ** 21],
    ['a disk smaller than a cluster', 512, 65_536],
  ])('shows all of %s at once', (_, size, clusterSize) => {
    for (const [width, height] of [
      [300, 400],
      [760, 520],
      [1900, 1000],
    ] as const) {
      const grid = layout(width, height, size, clusterSize)
      expect(grid.columns * grid.pitch).toBeLessThanOrEqual(width)
      const view = viewOf(grid, size, wholeCell(grid, size, clusterSize), 0)
      expect([startOf(view), endOf(view)]).toEqual([0, size])
    }
  })

  test('uses at least 60 % of the room that it has', () => {
    for (let bits = 30; bits < 60; bits++) {
      const size = 2 ** bits + 2 ** (bits - 3)
      const grid = layout(760, 520, size, 65_536)
      const cells = Math.ceil(size / wholeCell(grid, size, 65_536))
      expect((cells * grid.pitch ** 2) / (760 * 520)).toBeGreaterThan(0.6)
    }
  })

  test('takes only sizes of cells that exist', () => {
    expect(validCell(0, 65_536, 512)).toBe(65_536)
    expect(validCell(1, 65_536, 512)).toBe(512)
    expect(validCell(3000, 65_536, 512)).toBe(2048)
    expect(validCell(2 ** 40, 65_536, 512)).toBe(65_536)
  })

  test('finds the cell under a point, and none beside the disk', () => {
    const view = viewOf({ columns: 16, rows: 4, pitch: 10 }, 100 * 512, 512, 1)
    expect(offsetAt(view, 25, 5)).toBe(18 * 512)
    expect(offsetAt(view, 165, 5)).toBeNull()
    expect(offsetAt({ ...view, topRow: 6 }, 155, 5)).toBeNull()
  })
})

describe('table entries', () => {
  test('in words', () => {
    expect(entryText(0x8000000000050000n)).toBe('0x8000_0000_0005_0000')
    expect(entryFlags(0x8000000000050001n, true, 3)).toEqual(['COPIED', 'reads as zero'])
    expect(entryFlags(0x50001n, true, 2)).toEqual([])
    expect(entryFlags(0x4000000000050001n, true, 3)).toEqual(['compressed'])
    expect(entryFlags(0x8000000000050001n, false, 3)).toEqual(['COPIED'])
  })

  test('subclusters: the low bits mean allocated, the high bits zero', () => {
    const parts = subclusters((1n << 32n) | (1n << 1n) | (1n << 63n) | (1n << 31n))
    expect([parts[0], parts[1], parts[2], parts[31]]).toEqual(['zero', 'data', 'unallocated', 'invalid'])
  })
})

describe('the meanings of bytes', () => {
  const of = (bytes: number[], littleEndian = true) =>
    Object.fromEntries(readings(Uint8Array.from(bytes), littleEndian).map(({ name, value }) => [name, value]))

  test('in both byte orders', () => {
    const bytes = [0xff, 0xfe, 0, 0, 0, 0, 0, 0x80]
    expect(of(bytes)).toMatchObject({ '8 bits': '255 or -1', '16 bits': '65,279 or -257', '32 bits': '65,279' })
    expect(of(bytes, false)['64 bits']).toBe('18,446,181,123,756,130,432 or -562,949,953,421,184')
  })

  test('a character of several bytes, a time, a GUID', () => {
    expect(of([0xe2, 0x82, 0xac])['UTF-8']).toBe('€  U+20AC')
    expect(of([0xff])['UTF-8']).toBe('not a character')
    expect(of([0, 0, 0, 0])['Unix time']).toBe('1970-01-01 00:00:00Z')
    const guid = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]
    expect(of(guid).GUID).toBe('C12A7328-F81F-11D2-BA4B-00A0C93EC93B')
  })

  test('only what is whole', () => {
    expect(Object.keys(of([1, 2]))).toEqual(['8 bits', '16 bits', 'Binary', 'UTF-8'])
  })
})

test.each([
  ['disk.vmdk', 'disk.vmdk'],
  ['my disk.vmdk', "'my disk.vmdk'"],
  ['x; rm -rf ~.img', "'x; rm -rf ~.img'"],
  ["it's $(id).img", `'it'\\''s $(id).img'`],
  ['-f.img', './-f.img'],
  ['nbd:localhost', './nbd:localhost'],
])('the file %j in a command is one argument, and a file: %s', (name, argument) => {
  expect(fileArgument(name)).toBe(argument)
})
