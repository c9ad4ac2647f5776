import { isZero } from '../base/bytes.js'
import { Qcow2Error } from '../base/errors.js'
import type { WritableStorage } from '../base/storage/contract.js'
import type { CompressedClusters, Packers } from '../engine/packer.js'
import type { Qcow2 } from '../image/qcow2.js'
import { RawFile } from './raw-file.js'

/**
 * What a disk is converted to. Each part of the disk is first prepared and then stored. Several parts are prepared at a time; they
 * are stored in the order of the disk, so that the file is written from its start to its end.
 */
export interface ConvertTarget<P> {
  /** Parts begin and end at multiples of this, except at the disk's end; in bytes. */
  readonly grain: number
  /** How many parts are under way at most. */
  readonly width: number
  /** Takes the bytes over. */
  prepare(bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): P | Promise<P>
  store(offset: number, prepared: P, signal: AbortSignal): Promise<void>
  /** Makes a range of whole grains read as zeros; absent where all that is not stored reads so. */
  writeZeroes?: ((offset: number, length: number, signal: AbortSignal) => Promise<void>) | undefined
  /** Ends it, and makes durable what was stored. */
  close(): Promise<void>
}

/** What targets need to know about zeros. */
export interface Zeros {
  /** All that is not stored reads as zeros. */
  readonly isZero: boolean
  /** Runs of so many zero bytes are not stored; 0 stores all. */
  readonly sparseSize: number
}

/** How the clusters of an image are laid out. */
export interface Layout {
  /** What is stored on its own: a cluster or a subcluster, in bytes. */
  readonly unit: number
  readonly clusterSize: number
}

/** The size of a sector: disks end with one. */
const sector = 512

/** The grain in which zeros are looked for: a power of two of at least `unit` bytes. */
function grainOf({ sparseSize }: Zeros, unit: number): number {
  return Math.max(unit, 2 ** Math.floor(Math.log2(Math.max(sparseSize, sector))))
}

/** A raw file: the bytes of the disk. */
export async function rawTarget(
  storage: WritableStorage,
  size: number,
  { existing, overwrite, zeros }: { readonly existing: boolean; readonly overwrite: boolean; readonly zeros: Zeros },
  signal: AbortSignal | undefined,
): Promise<ConvertTarget<Uint8Array<ArrayBuffer>>> {
  const file = await RawFile.open(storage, signal)
  try {
    const before = await file.size()
    if (existing) {
      if (before < size) throw tooSmall(before, size)
    } else {
      if (before > 0 && !overwrite) throw notEmpty(before)
      await file.truncate(0)
      await file.truncate(size)
    }
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
  const writeZeroes = async (offset: number, length: number, signal: AbortSignal) => {
    const bytes = new Uint8Array(Math.min(length, 1024 * 1024))
    for (let done = 0; done < length; done += bytes.length) {
      await file.write(offset + done, bytes.slice(0, Math.min(bytes.length, length - done)), signal)
    }
  }
  const unit = grainOf(zeros, sector)
  return {
    grain: sector,
    width: 2,
    prepare: (bytes) => bytes,
    async store(offset, bytes, signal) {
      for (const [start, end, stored] of runs(bytes, offset, unit, zeros.sparseSize)) {
        if (stored) await file.write(offset + start, bytes.slice(start, end), signal)
        else if (!zeros.isZero) await writeZeroes(offset + start, end - start, signal)
      }
    },
    writeZeroes: zeros.isZero ? undefined : writeZeroes,
    close: () => file.close(),
  }
}

/** A qcow2 image with plain clusters. */
export function plainTarget(
  image: Qcow2,
  layout: Layout,
  zeros: Zeros,
  close: () => Promise<void>,
): ConvertTarget<Uint8Array<ArrayBuffer>> {
  const grain = grainOf(zeros, layout.unit)
  const writeZeroes = (offset: number, length: number, signal: AbortSignal) =>
    image.writeZeroes(offset, length, { unmap: true, signal })
  return {
    grain: layout.unit,
    width: 2,
    prepare: (bytes) => bytes,
    async store(offset, bytes, signal) {
      for (const [start, end, stored] of runs(bytes, offset, grain, zeros.sparseSize)) {
        if (stored) await image.write(offset + start, bytes.subarray(start, end), { signal })
        else if (!zeros.isZero) await writeZeroes(offset + start, end - start, signal)
      }
    },
    writeZeroes: zeros.isZero ? undefined : writeZeroes,
    close,
  }
}

/** A qcow2 image with compressed clusters. It ends the packers. */
export function compressedTarget(
  image: Qcow2,
  layout: Layout,
  packers: Packers,
  zeros: Zeros,
  close: () => Promise<void>,
): ConvertTarget<CompressedClusters> {
  const { clusterSize } = layout
  const writeZeroes = (offset: number, length: number, signal: AbortSignal) =>
    image.writeZeroes(offset, length, { unmap: true, signal })
  return {
    grain: clusterSize,
    width: packers.width,
    prepare: (bytes, signal) => packers.pack(bytes, signal),
    async store(offset, { lengths, bytes }, signal) {
      await image.writePacked(offset, lengths, bytes, { signal })
      if (zeros.isZero && zeros.sparseSize > 0) return
      for (let index = 0; index < lengths.length; index += 1) {
        if (lengths[index] !== 0) continue
        const start = offset + index * clusterSize
        const length = Math.min(clusterSize, image.size - start)
        if (zeros.sparseSize > 0) await writeZeroes(start, length, signal)
        else await image.writeCompressed(start, new Uint8Array(length), { signal })
      }
    },
    writeZeroes: zeros.isZero ? undefined : writeZeroes,
    close() {
      packers.end()
      return close()
    },
  }
}

/**
 * Divides the bytes at an offset of the disk into runs that end at multiples of `grain`: what is stored, and zeros, which are at least
 * `sparseSize` long.
 */
function* runs(
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  grain: number,
  sparseSize: number,
): Generator<readonly [start: number, end: number, stored: boolean], undefined> {
  if (sparseSize === 0) {
    yield [0, bytes.length, true]
    return
  }
  // What is stored from `start` up to `end`; zeros from there up to `at`.
  let [start, end] = [0, 0]
  let next = 0
  for (let at = 0; at < bytes.length; at = next) {
    next = Math.min(bytes.length, at + grain - ((offset + at) % grain))
    if (isZero(bytes.subarray(at, next))) continue
    if (at - end >= sparseSize || end === 0) {
      if (end > start) yield [start, end, true]
      if (at > end) yield [end, at, false]
      start = at
    }
    end = next
  }
  if (end > start) yield [start, end, true]
  if (bytes.length > end) yield [end, bytes.length, false]
}

function tooSmall(size: number, needed: number): Qcow2Error {
  return new Qcow2Error('WOULD_SHRINK', `The target has ${size} bytes, but the source has ${needed}.`)
}

function notEmpty(size: number): Qcow2Error {
  return new Qcow2Error('NOT_EMPTY', `The storage is not empty: it has ${size} bytes.`)
}
