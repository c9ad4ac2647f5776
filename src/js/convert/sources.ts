import type { Extent, MapOptions, RangeOptions } from '../disk/extent.js'
import { rangeOf } from '../disk/ranges.js'
import type { MappedDisk } from './compare.js'

/** Several disks in a row as one disk. */
export function concatenated(disks: readonly MappedDisk[]): MappedDisk {
  const [only] = disks
  if (only && disks.length === 1) return only
  const parts: { readonly disk: MappedDisk; readonly start: number }[] = []
  let size = 0
  for (const disk of disks) {
    parts.push({ disk, start: size })
    size += disk.size
  }
  const within = (offset: number, length: number) =>
    parts
      .map(({ disk, start }) => ({
        disk,
        start,
        from: Math.max(offset, start),
        end: Math.min(offset + length, start + disk.size),
      }))
      .filter(({ from, end }) => end > from)
  return {
    size,
    async read(offset, length, options) {
      const at = Number(offset)
      const bytes = new Uint8Array(Number(length))
      for (const { disk, start, from, end } of within(at, bytes.length)) {
        bytes.set(await disk.read(from - start, end - from, options), from - at)
      }
      return bytes
    },
    async *map({ offset = 0, length, signal }: MapOptions = {}): AsyncGenerator<Extent> {
      const first = Number(offset)
      for (const { disk, start, from, end } of within(first, length === undefined ? size - first : Number(length))) {
        for await (const extent of disk.map({ offset: from - start, length: end - from, signal })) {
          yield { ...extent, start: extent.start + start }
        }
      }
    },
  }
}

/** A range of a disk as a disk of its own; the whole disk if there is no range. */
export function part(disk: MappedDisk, range: RangeOptions | undefined): MappedDisk {
  if (range === undefined) return disk
  const { offset, length: size } = rangeOf(range, disk.size)
  const first = Number(offset)
  return {
    size,
    read: (at, count, options) => disk.read(first + Number(at), count, options),
    async *map({ offset = 0, length, ...watch }: MapOptions = {}): AsyncGenerator<Extent> {
      const count = length === undefined ? size - Number(offset) : Number(length)
      for await (const extent of disk.map({ ...watch, offset: first + Number(offset), length: count })) {
        yield { ...extent, start: extent.start - first }
      }
    },
  }
}

const sector = 512

/** A disk as one of whole sectors: what is missing of the last one is zeros. */
export function wholeSectors(disk: MappedDisk): MappedDisk {
  if (disk.size % sector === 0) return disk
  const size = Math.ceil(disk.size / sector) * sector
  return {
    size,
    async read(offset, length, options) {
      const [at, count] = [Number(offset), Number(length)]
      if (at + count <= disk.size) return disk.read(at, count, options)
      const bytes = new Uint8Array(count)
      if (at < disk.size) bytes.set(await disk.read(at, disk.size - at, options))
      return bytes
    },
    map({ offset = 0, length, ...watch }: MapOptions = {}) {
      const end = length === undefined ? disk.size : Math.min(Number(offset) + Number(length), disk.size)
      return disk.map({ ...watch, offset, length: end - Number(offset) })
    },
  }
}
