import { flag, integer, oneOf, optionsIn, show, text, watchIn } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Packing } from '../engine/packer.js'
import type { BitmapInfo } from '../engine/values.js'
import type { MappedDisk } from './compare.js'
import { mappedDisk } from './compare.js'
import { startPackers } from './packers.js'

/** What kind of image {@link measure} is about. */
export interface MeasureOptions extends LongOptions {
  /** Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /** The size of the disk in bytes; what it is measured by where there is no source. Default: the source's. */
  readonly size?: number | undefined
  /** As in {@link CreateOptions.clusterSize}. Default: 64 KiB. */
  readonly clusterSize?: number | undefined
  /** As in {@link CreateOptions.refcountBits}. Default: 16. */
  readonly refcountBits?: number | undefined
  /** As in {@link CreateOptions.extendedL2}. Default: false. */
  readonly extendedL2?: boolean | undefined
  /** As in {@link CreateOptions.preallocation}. Default: `off`. */
  readonly preallocation?: 'off' | 'metadata' | 'full' | undefined
  /** True if the new image has a backing file. How much that one shares is unknown, so that everything is counted. */
  readonly backing?: boolean | undefined
  /** The length in bytes of the LUKS key material, for an image that is encrypted by LUKS. Default: 0. */
  readonly luksBytes?: number | undefined
  /** The bitmaps that are copied with the disk. Default: none. */
  readonly bitmaps?: readonly BitmapInfo[] | undefined
  /**
   * Estimates the file's length with compressed clusters too, by compressing a sample of the source: at most 256 clusters, which
   * are read for it. Default: none is estimated.
   */
  readonly compression?: 'zlib' | 'zstd' | undefined
}

/** How much room a new image takes. */
export interface Measurement {
  /** The length of the file in bytes once the source is copied; never too small. */
  readonly required: number
  /** The length of the file in bytes once everything is written. */
  readonly fullyAllocated: number
  /** What the bitmaps take in addition. */
  readonly bitmaps: number
  /**
   * About the length of the file in bytes once the source is copied with compressed clusters. It comes from a sample, so it may be
   * too small as well as too large. Only where {@link MeasureOptions.compression} asks for it.
   */
  readonly estimatedCompressed?: number
}

/**
 * Returns how large the file of a new image would be, as `qemu-img measure` does, before it is made: for a new disk, or for a copy of
 * another one. The numbers are upper bounds for an image that is not compressed.
 *
 * @param source what would be copied: an image, a snapshot, or anything with their `size` and `map`; `undefined` for a new disk.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT`, and what {@link Qcow2.map} throws; or the signal's reason.
 * @example
 * ```ts
 * const { required } = await measure(image, { clusterSize: 4096 })
 * ```
 */
export async function measure(source: MappedDisk | undefined, options: MeasureOptions = {}): Promise<Measurement> {
  if (source !== undefined) mappedDisk(source, 'The source')
  const { format = 'qcow2', size = source?.size, clusterSize = 64 * 1024, luksBytes = 0, backing } = optionsIn(options)
  if (size === undefined) throw invalidArgument('measure() needs a source or a size.')
  checkNumbers(options)
  const sectors = roundUp(size, 512)
  if (oneOf(format, ['qcow2', 'raw'], 'format') === 'raw')
    return { required: sectors, fullyAllocated: sectors, bitmaps: 0 }
  const virtual = roundUp(sectors, clusterSize)
  const compression =
    options.compression === undefined ? undefined : oneOf(options.compression, ['zlib', 'zstd'], 'compression')
  const sample = new Sample()
  let needed = 0
  const stored = source ? await storedClusters(source, clusterSize, options, sample) : 0
  if (source) needed = backing ? virtual : stored
  if (options.preallocation === 'full') needed = virtual
  const metadata = metadataSize(virtual, options) + roundUp(luksBytes, clusterSize)
  const bitmaps = bitmapsSize(options.bitmaps ?? [], sectors, clusterSize)
  const found = { required: metadata + needed, fullyAllocated: metadata + virtual, bitmaps }
  if (!compression) return found
  const share = source ? await compressedShare(source, sample.offsets, { clusterSize, compression }, options) : 0
  return { ...found, estimatedCompressed: metadata + Math.ceil(stored * share) }
}

/** Throws unless they are what they must be: numbers that are none would lead nowhere. */
function checkNumbers(options: MeasureOptions): void {
  const { size = 0, clusterSize = 64 * 1024, refcountBits = 16, luksBytes = 0, preallocation = 'off' } = options
  integer(size, 'size')
  integer(luksBytes, 'luksBytes')
  powerOfTwo(clusterSize, 'clusterSize', 512, 2 * 1024 * 1024)
  powerOfTwo(refcountBits, 'refcountBits', 1, 64)
  oneOf(preallocation, ['off', 'metadata', 'full'], 'preallocation')
  flag(options.extendedL2, 'extendedL2')
  flag(options.backing, 'backing')
  const { bitmaps = [] } = options
  if (!Array.isArray(bitmaps)) throw invalidArgument(`bitmaps must be a list; it is ${show(bitmaps)}.`)
  for (const each of bitmaps) {
    const { name, granularity } = optionsIn<BitmapInfo>(each, 'A bitmap')
    text(name, "A bitmap's name")
    integer(granularity, "A bitmap's granularity", 1)
  }
}

function powerOfTwo(value: unknown, what: string, least: number, most: number): void {
  const number = integer(value, what, least)
  if (number > most || !Number.isInteger(Math.log2(number))) {
    throw invalidArgument(`${what} must be a power of two from ${least} to ${most}; it is ${number}.`)
  }
}

/** The bytes of the clusters that hold anything but zeros. */
async function storedClusters(
  source: MappedDisk,
  clusterSize: number,
  options: LongOptions,
  sample: Sample,
): Promise<number> {
  const { signal, onProgress } = watchIn(options)
  let [needed, counted] = [0, 0]
  for await (const { start, length, zero, data, present } of source.map({ signal, onProgress })) {
    if (zero || !data || !present) continue
    const from = Math.max(counted, start - (start % clusterSize))
    const end = roundUp(start + length, clusterSize)
    if (end > from) needed += end - from
    sample.offer(from, end, clusterSize)
    counted = Math.max(counted, end)
  }
  return needed
}

/** Offsets of clusters that are spread over all that are stored: at most 256. */
class Sample {
  offsets: number[] = []
  /** The distance between sampled clusters. */
  #stride = 1
  /** How many clusters were offered. */
  #offered = 0

  /** Offers the clusters of a range. */
  offer(from: number, end: number, clusterSize: number): void {
    const clusters = (end - from) / clusterSize
    for (;;) {
      const skipped = (this.#stride - (this.#offered % this.#stride)) % this.#stride
      const count = Math.max(0, Math.ceil((clusters - skipped) / this.#stride))
      if (this.offsets.length + count <= 256) {
        for (let index = 0; index < count; index += 1) {
          this.offsets.push(from + (skipped + index * this.#stride) * clusterSize)
        }
        break
      }
      this.offsets = this.offsets.filter((_, index) => index % 2 === 0)
      this.#stride *= 2
    }
    this.#offered += clusters
  }
}

/** How much of their bytes the clusters at these offsets keep when they are compressed: 0 to 1. */
async function compressedShare(
  source: MappedDisk,
  offsets: readonly number[],
  packing: Packing,
  options: LongOptions,
): Promise<number> {
  if (offsets.length === 0) return 0
  const signal = options.signal ?? new AbortController().signal
  const packers = await startPackers(0, packing)
  let bytes = 0
  try {
    for (const offset of offsets) {
      const cluster = await source.read(offset, Math.min(packing.clusterSize, source.size - offset), { signal })
      const { lengths } = await packers.pack(cluster, signal)
      bytes += lengths[0] ?? 0
    }
  } finally {
    packers.end()
  }
  return bytes / (offsets.length * packing.clusterSize)
}

/** The bytes of all tables of an image that is allocated as a whole. */
function metadataSize(
  virtual: number,
  { clusterSize = 64 * 1024, refcountBits = 16, extendedL2 }: MeasureOptions,
): number {
  const entrySize = extendedL2 ? 16 : 8
  const clusters = virtual / clusterSize
  const l2Tables = Math.ceil(clusters / (clusterSize / entrySize))
  const l1Clusters = Math.ceil(l2Tables / (clusterSize / 8))
  const counted = 1 + l2Tables + l1Clusters + clusters
  return (1 + l2Tables + l1Clusters + refcountClusters(counted, clusterSize, refcountBits)) * clusterSize
}

/** How many clusters the refcount structures for `clusters` take, their own clusters included. */
function refcountClusters(clusters: number, clusterSize: number, refcountBits: number): number {
  const perBlock = (clusterSize * 8) / refcountBits
  let [blocks, table] = [0, 0]
  for (let last = -1; last !== blocks + table; ) {
    last = blocks + table
    blocks = Math.ceil((clusters + table + blocks) / perBlock)
    table = Math.ceil(blocks / (clusterSize / 8))
  }
  return blocks + table
}

/** The bytes of bitmaps with every cluster stored, of their tables and of their directory. */
function bitmapsSize(bitmaps: readonly BitmapInfo[], size: number, clusterSize: number): number {
  let [total, directory] = [0, 0]
  for (const { name, granularity, inUse } of bitmaps) {
    if (inUse) continue
    const bytes = Math.ceil(Math.ceil(size / granularity) / 8)
    const clusters = Math.ceil(bytes / clusterSize)
    total += clusters * clusterSize + roundUp(clusters * 8, clusterSize)
    directory += roundUp(24 + new TextEncoder().encode(name).length, 8)
  }
  return total + roundUp(directory, clusterSize)
}

const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit
