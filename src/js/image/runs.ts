import { advance, type ByteCount } from '../base/arguments.js'
import type { Run } from '../base/storage/contract.js'
import type { Disk } from '../disk/disk.js'
import type { Extent } from '../disk/extent.js'

/** The shortest run that is worth its opening, in bytes. */
const least = 2 * 1024 * 1024
/** How much of the disk is mapped at a time, in bytes. */
const window = 256 * 1024 * 1024

/** Opens a run of the image's file, if there is a faster way than reads. */
type OpenRun = (hostOffset: number, length: number) => Run | undefined | Promise<Run | undefined>

/**
 * Finds the runs of an image for a stream: parts of the disk that the image's file has side by side. The stream asks for them in
 * the order of the disk, and the image must not change meanwhile.
 */
export class Runs {
  readonly #disk: Pick<Disk, 'map'>
  readonly #open: OpenRun
  /** The mapped part, and the long extents of data in it. */
  #extents: Extent[] = []
  #mappedTo = 0

  constructor(disk: Pick<Disk, 'map'>, open: OpenRun) {
    this.#disk = disk
    this.#open = open
  }

  /** Opens the longest run at `offset`: of `length` bytes, or fewer and then a multiple of `unit`. */
  async open(offset: ByteCount, length: number, unit: number, signal: AbortSignal): Promise<Run | undefined> {
    const start = Number(offset)
    // Extents count in numbers.
    if (length < least || !Number.isSafeInteger(Number(advance(offset, length)))) return undefined
    if (start >= this.#mappedTo) await this.#map(start, Math.min(length, window), signal)
    const extent = this.#extents.find((each) => each.start <= start && start < each.start + each.length)
    if (extent?.offset === undefined) return undefined
    const skipped = start - extent.start
    const found = Math.min(extent.length - skipped, length)
    const whole = found < length ? found - (found % unit) : found
    return whole < least ? undefined : this.#open(extent.offset + skipped, whole)
  }

  async #map(offset: number, length: number, signal: AbortSignal): Promise<void> {
    this.#extents = []
    for await (const extent of this.#disk.map({ offset, length, signal })) {
      const { depth, data, compressed } = extent
      if (depth === 0 && data && !compressed && extent.length >= least) this.#extents.push(extent)
    }
    this.#mappedTo = offset + length
  }
}
