import type { Extent, MapOptions } from '../image/map.js'
import type { MappedDisk } from './compare.js'

/** Several disks as one, each behind the one before. */
export function concatenated(disks: readonly MappedDisk[]): MappedDisk {
  const [only] = disks
  if (only && disks.length === 1) return only
  const places: { readonly disk: MappedDisk; readonly start: number }[] = []
  let size = 0
  for (const disk of disks) {
    places.push({ disk, start: size })
    size += disk.size
  }
  const within = (offset: number, length: number) =>
    places
      .map(({ disk, start }) => ({
        disk,
        start,
        from: Math.max(offset, start),
        end: Math.min(offset + length, start + disk.size),
      }))
      .filter(({ from, end }) => end > from)
  async function read(...[offset, target, options]: Parameters<MappedDisk['read']>): Promise<Uint8Array<ArrayBuffer>> {
    const at = Number(offset)
    const into = typeof target === 'number' ? new Uint8Array(target) : (target as Uint8Array<ArrayBuffer>)
    for (const { disk, start, from, end } of within(at, into.length)) {
      into.set(await disk.read(from - start, end - from, options), from - at)
    }
    return into
  }
  return {
    size,
    read: read as MappedDisk['read'],
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
