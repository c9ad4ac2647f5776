import type { LongOptions } from '../base/progress.js'
import type { Extent } from '../disk/extent.js'
import { nextTurn } from '../engine/time-slices.js'
import type { MappedDisk } from './compare.js'
import { isDamage, type Losses } from './losses.js'
import type { ConvertTarget } from './target.js'

/** Which parts of a disk are copied, and how. */
export interface CopyOptions {
  /** Stores everything, zeros too. */
  readonly everything: boolean
  /** Copies nothing but what is stored; otherwise gaps may be copied too. */
  readonly exact: boolean
  /** Copies what the first file of the source's chain holds, and leaves the rest to the target's backing file. */
  readonly topOnly: boolean
  /** Takes what cannot be read, and becomes zeros; without it the first such range ends the copy. */
  readonly losses: Losses | undefined
}

/** Parts are of this many bytes, or of a grain of the target. */
export const partSize = 1024 * 1024
/** What cannot be read is narrowed down to a sector. */
const sector = 512
/** After so many milliseconds of reading sectors the event loop gets its turn. */
const turn = 25

/** Copies a disk; in the end nothing is under way. */
export async function copy<P>(
  disk: MappedDisk,
  target: ConvertTarget<P>,
  stop: AbortController,
  options: CopyOptions,
  onProgress: LongOptions['onProgress'],
): Promise<void> {
  const { signal } = stop
  const total = disk.size
  const begin = async ({ start, end }: Part) => {
    const bytes = await readPart(disk, start, end - start, signal, options.losses)
    return target.prepare(bytes, signal)
  }
  type UnderWay = { readonly part: Part; readonly prepared: Promise<P> | undefined }
  const underWay: UnderWay[] = []
  const storeFirst = async () => {
    const first = underWay[0]
    if (!first) return
    const { part, prepared } = first
    if (prepared) await target.store(part.start, await prepared, signal)
    else await target.writeZeroes?.(part.start, part.end - part.start, signal)
    underWay.shift()
    onProgress?.({ done: part.end, total })
  }
  try {
    onProgress?.({ done: 0, total })
    for await (const part of parts(disk, target, options, signal)) {
      if (underWay.length === target.width) await storeFirst()
      const prepared = part.zero ? undefined : begin(part)
      // It is looked at when its turn comes.
      prepared?.catch(() => {})
      underWay.push({ part, prepared })
    }
    while (underWay.length > 0) await storeFirst()
    signal.throwIfAborted()
    onProgress?.({ done: total, total })
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(underWay.map(({ prepared }) => prepared))
    throw error
  }
}

/** Reads a part; sectors that cannot be read are noted, and zeros. */
async function readPart(
  disk: MappedDisk,
  start: number,
  length: number,
  signal: AbortSignal,
  losses: Losses | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await disk.read(start, length, { signal })
  } catch (error) {
    if (!losses || signal.aborted || !isDamage(error)) throw error
  }
  return salvagePart(disk, start, length, signal, losses)
}

/**
 * Reads what can be read of a range that fails as a whole. Each half that fails is halved again, at a multiple of a power of two,
 * so that a corrupt compressed cluster is decompressed a few times, and not once for each of its sectors.
 */
async function salvagePart(
  disk: MappedDisk,
  start: number,
  length: number,
  signal: AbortSignal,
  losses: Losses,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  const ranges = halves(start, start + length)
  let began = performance.now()
  for (let range = ranges.pop(); range; range = ranges.pop()) {
    if (performance.now() - began > turn) {
      await nextTurn()
      began = performance.now()
    }
    const [from, to] = range
    try {
      bytes.set(await disk.read(from, to - from, { signal }), from - start)
    } catch (error) {
      signal.throwIfAborted()
      if (!isDamage(error)) throw error
      if (to - from > sector && !losses.isWhole(from, to, error)) ranges.push(...halves(from, to))
      else for (let at = from; at < to; at += sector) losses.add(at, Math.min(sector, to - at), error)
    }
  }
  return bytes
}

/** The two halves of a range, the first one last; the whole of one that has no more than a sector. */
function halves(from: number, to: number): [from: number, to: number][] {
  if (to - from <= sector) return [[from, to]]
  const middle = roundUp(from + 1, 2 ** Math.floor(Math.log2(to - from - 1)))
  return [
    [middle, to],
    [from, middle],
  ]
}

/** A part of the disk, up to `end`. */
interface Part {
  readonly start: number
  readonly end: number
  /** All of it is known to be zeros. */
  readonly zero: boolean
}

/**
 * What is to be copied, in order, in parts of whole grains: from the first to the last byte of each stretch of `partSize` that are
 * stored anywhere; and, for targets on which zeros must be written, the zeros.
 */
async function* parts(
  disk: MappedDisk,
  { grain, writeZeroes }: Pick<ConvertTarget<unknown>, 'grain' | 'writeZeroes'>,
  { everything, exact, topOnly, losses }: CopyOptions,
  signal: AbortSignal,
): AsyncGenerator<Part, undefined> {
  const stretch = Math.max(partSize, grain)
  let part: Part | undefined
  for await (const extent of extentsOf(disk, losses, signal)) {
    // What no file stores is zeros: the target's backing file may have something else there.
    if (topOnly && extent.depth > 0) continue
    const { start, length, data } = extent
    const stored = everything || (data && !extent.zero)
    if (!stored) {
      if (!writeZeroes) continue
      // The grains at its borders may hold data too, and are copied with that.
      const [from, end] = [
        roundUp(start, grain),
        start + length === disk.size ? disk.size : roundDown(start + length, grain),
      ]
      const covered = part?.end ?? 0
      if (end <= Math.max(from, covered)) {
        part = yield* add(part, start, length)
        continue
      }
      if (start < from) part = yield* add(part, start, from - start)
      if (part) yield part
      part = undefined
      yield { start: from, end, zero: true }
      if (end < start + length) part = yield* add(part, end, start + length - end)
      continue
    }
    part = yield* add(part, start, length)
  }
  if (part) yield part

  function* add(last: Part | undefined, start: number, length: number): Generator<Part, Part | undefined> {
    let part = last
    const end = Math.min(disk.size, roundUp(start + length, grain))
    for (let at = roundDown(start, grain); at < end; ) {
      const next = roundDown(at, stretch) + stretch
      const until = Math.min(end, next)
      const joins = part && roundDown(part.start, stretch) === roundDown(at, stretch) && (!exact || part.end >= at)
      if (part && joins) part = { ...part, end: Math.max(part.end, until) }
      else {
        if (part) yield part
        part = { start: at, end: until, zero: false }
      }
      at = next
    }
    return part
  }
}

/** The extents of a disk; where its tables are corrupt and something may be lost, the data itself shows what can be read. */
async function* extentsOf(
  disk: MappedDisk,
  losses: Losses | undefined,
  signal: AbortSignal,
): AsyncGenerator<Extent, undefined> {
  for (let at = 0; at < disk.size; ) {
    try {
      for await (const extent of disk.map({ offset: at, signal })) {
        at = extent.start + extent.length
        yield extent
      }
      return
    } catch (error) {
      if (!losses || signal.aborted || !isDamage(error)) throw error
    }
    const end = Math.min(disk.size, roundDown(at, partSize) + partSize)
    const how = { depth: 0, present: true, zero: false, data: true, compressed: false, offset: undefined }
    yield { start: at, length: end - at, ...how }
    at = end
  }
}

const roundDown = (value: number, unit: number) => value - (value % unit)
const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit
