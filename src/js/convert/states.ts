import { invalidArgument } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { DiffExtent } from '../image/diff.js'
import { Qcow2 } from '../image/qcow2.js'
import type { MappedDisk } from './compare.js'
import { type CopyOptions, copy } from './copy.js'
import type { ConvertTarget } from './target.js'

/** The new image, and how a disk is copied to it. */
export interface StatesTarget {
  readonly image: Qcow2
  /** Takes the first disk: the image holds nothing yet. */
  readonly first: ConvertTarget<unknown>
  /** Takes another disk over the one before: zeros have to be written too. */
  readonly next: ConvertTarget<unknown>
}

/** Which of an image's own things a conversion keeps. */
interface Kept {
  readonly snapshots: boolean
  readonly bitmaps: boolean
}

/** The only source of a conversion that keeps snapshots or bitmaps. */
export function keptSource(disks: readonly MappedDisk[], range: unknown, kept: Kept): Qcow2 | undefined {
  if (!kept.snapshots && !kept.bitmaps) return undefined
  const [only] = disks
  if (disks.length === 1 && only instanceof Qcow2 && range === undefined) return only
  throw invalidArgument('Snapshots and bitmaps can only be kept of one whole qcow2 image.')
}

/** The size of the first disk that {@link copyStates} copies. */
export function firstSize(source: Qcow2): number {
  return source.snapshots.list()[0]?.diskSize ?? source.size
}

/**
 * Copies each snapshot, in the order of the list, and then the disk. Of all but the first only what differs from the one before is
 * copied.
 */
export async function copyStates(
  source: Qcow2,
  { image, first, next }: StatesTarget,
  stop: AbortController,
  how: CopyOptions,
  onProgress: LongOptions['onProgress'],
): Promise<void> {
  const { signal } = stop
  const snapshots = source.snapshots.list()
  const total = snapshots.reduce((sum, { diskSize }) => sum + (diskSize ?? source.size), source.size)
  let before: string | undefined
  let copied = 0
  const copyState = async (disk: MappedDisk, id: string | null) => {
    if (disk.size !== image.size) await image.resize(disk.size, { shrink: true, signal })
    const report = (progress: { done: number }) =>
      onProgress?.({ done: Math.min(copied + progress.done, total), total })
    const from = before
    if (from === undefined) await copy(disk, first, stop, how, report)
    else
      await copy(
        changed(disk, () => source.diff(from, id, { signal })),
        next,
        stop,
        { ...how, topOnly: false },
        report,
      )
    copied += disk.size
  }
  for (const { id, name, dateSec, dateNsec, vmClockNsec, icount } of snapshots) {
    await using view = await source.snapshots.open(id, { signal })
    await copyState(view, id)
    const date = new Date(dateSec * 1000 + Math.floor(dateNsec / 1_000_000))
    const vmState = view.vmState.size > 0 ? view.vmState.readable({ signal }) : undefined
    await image.snapshots.create(name, { date, vmClockNsec, icount, vmState, signal })
    before = id
  }
  await copyState(source, null)
}

/** Copies the bitmaps that are not inconsistent, with their bits. */
export async function copyBitmaps(source: Qcow2, image: Qcow2, signal: AbortSignal): Promise<void> {
  for (const { name, granularity, auto, inUse } of await source.bitmaps.list({ signal })) {
    if (inUse) continue
    await image.bitmaps.create(name, { granularity, enabled: false, signal })
    await image.bitmaps.merge(name, name, source.bitmaps, { signal })
    if (auto) await image.bitmaps.enable(name, { signal })
  }
}

/** A disk that shows only the ranges to copy, wherever their bytes are stored. */
function changed(disk: MappedDisk, ranges: () => AsyncIterable<DiffExtent>): MappedDisk {
  return {
    size: disk.size,
    read: (offset: number, length: number, options?: object) => disk.read(offset, length, options),
    async *map({ offset = 0, signal } = {}) {
      for await (const { start, length } of ranges()) {
        const [from, end] = [Math.max(start, Number(offset)), Math.min(start + length, disk.size)]
        if (from >= end) continue
        for await (const extent of disk.map({ offset: from, length: end - from, signal })) {
          yield { ...extent, depth: 0, present: true }
        }
      }
    },
  } as MappedDisk
}
