import { flag, optionsIn, watchIn } from '../base/arguments.js'
import { firstDifferentSector, firstNonZeroSector } from '../base/bytes.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Disk } from '../disk/disk.js'
import type { Extent, MapOptions } from '../disk/extent.js'

/** A disk that can be compared or measured: a {@link Disk} of any kind, or an object with the same methods. */
export interface MappedDisk extends Pick<Disk, 'size' | 'read'> {
  /** The extents of a range, in their order; see {@link Disk.map}. */
  map(options?: MapOptions): AsyncIterable<Extent>
}

/** How {@link compare} compares. Progress is in bytes of the larger disk. */
export interface CompareOptions extends LongOptions {
  /**
   * Disks of different sizes differ, and so do ranges that read the same but are stored in another way, as zeros that are stored
   * and zeros that are not. Default: false.
   */
  readonly strict?: boolean | undefined
}

/** What {@link compare} found. */
export type Comparison = {
  /** True if the disks have different sizes. Without `strict`, they may be equal nevertheless. */
  readonly sizesDiffer: boolean
} & (
  | {
      /** The disks show the same bytes. */
      readonly equal: true
    }
  | {
      /** The disks differ. */
      readonly equal: false
      /** What differs: the bytes; or with `strict` the size, or how a range is stored. */
      readonly difference: 'content' | 'size' | 'storage'
      /** Where the first difference is, in bytes of the disk: the sector of 512 bytes that has it. 0 for the size. */
      readonly offset: number
    }
)

/** Disks are read in parts of at most this many bytes. */
const partSize = 2 * 1024 * 1024

/**
 * Compares two disks by the rules of `qemu-img compare`: they are equal if they show the same bytes, and if what the larger one has
 * more reads as zeros.
 *
 * Ranges that both disks know to be zero are not read. Memory is bounded: at most one part of each disk is held, of 2 MiB.
 *
 * @param one an image, a snapshot, or anything with their `size`, `read` and `map`. It must not change meanwhile.
 * @param other what it is compared with.
 * @returns whether the disks are equal, and otherwise where they begin to differ.
 * @throws {@link Qcow2Error} what {@link Qcow2.read} rejects with; or the signal's reason.
 * @example
 * ```ts
 * const result = await compare(image, copy)
 * if (!result.equal) console.log(`They differ at offset ${result.offset}.`)
 * ```
 */
export async function compare(one: MappedDisk, other: MappedDisk, options: CompareOptions = {}): Promise<Comparison> {
  const strict = flag(optionsIn(options).strict, 'strict')
  const { signal, onProgress } = watchIn(options)
  for (const disk of [one, other]) mappedDisk(disk, 'A disk that is compared')
  const sizesDiffer = one.size !== other.size
  if (strict && sizesDiffer) return { sizesDiffer, equal: false, difference: 'size', offset: 0 }
  const [shared, total] = [Math.min(one.size, other.size), Math.max(one.size, other.size)]
  const differs = (difference: 'content' | 'storage', offset: number): Comparison => ({
    sizesDiffer,
    equal: false,
    difference,
    offset,
  })
  onProgress?.({ done: 0, total })
  const [first, second] = [new Cursor(one, 0, shared, signal), new Cursor(other, 0, shared, signal)]
  try {
    for (let at = 0; at < shared; ) {
      const [here, there] = [await first.at(at), await second.at(at)]
      if (strict && status(here, one.size) !== status(there, other.size)) return differs('storage', at)
      let end = Math.min(endOf(here), endOf(there))
      if (!(here.zero && there.zero)) {
        end = Math.min(end, at + partSize)
        const found = await differenceAt(at, end - at, [one, here], [other, there], signal)
        if (found !== undefined) return differs('content', at + found)
      }
      at = end
      onProgress?.({ done: at, total })
    }
  } finally {
    await Promise.all([first.close(), second.close()])
  }
  const larger = one.size > other.size ? one : other
  const rest = new Cursor(larger, shared, total, signal)
  try {
    for (let at = shared; at < total; ) {
      const here = await rest.at(at)
      let end = endOf(here)
      if (here.present && !here.zero) {
        end = Math.min(end, at + partSize)
        const found = await nonZeroAt(larger, at, end - at, signal)
        if (found !== undefined) return differs('content', at + found)
      }
      at = end
      onProgress?.({ done: at, total })
    }
  } finally {
    await rest.close()
  }
  return { sizesDiffer, equal: true }
}

/** `value` as a disk that can be mapped; `what` names it in the error. */
export function mappedDisk<D extends Pick<MappedDisk, 'size' | 'map'>>(value: D, what: string): D {
  const { size, map } = (value ?? {}) as Partial<MappedDisk>
  if (Number.isSafeInteger(size) && typeof map === 'function') return value
  throw invalidArgument(`${what} must be an open disk, or have its size, read and map.`)
}

/** Walks over the extents of a range of a disk. */
class Cursor {
  readonly #extents: AsyncIterator<Extent>
  #current: Extent | undefined

  constructor(disk: MappedDisk, offset: number, end: number, signal: AbortSignal | undefined) {
    this.#extents = disk.map({ offset, length: end - offset, signal })[Symbol.asyncIterator]()
  }

  /** The extent with a byte. Each byte is at or after the previous one. */
  async at(offset: number): Promise<Extent> {
    while (!this.#current || endOf(this.#current) <= offset) {
      const { value, done } = await this.#extents.next()
      if (done) throw new Error(`The map ends before offset ${offset}.`)
      this.#current = value
    }
    return this.#current
  }

  async close(): Promise<void> {
    await this.#extents.return?.()
  }
}

const endOf = ({ start, length }: Extent) => start + length

/** How an extent is stored, in a number; an extent that reaches the end of the disk is not like one that does not. */
function status(extent: Extent, size: number): number {
  const { present, zero, data, compressed, offset } = extent
  const flags = [present, zero, data, compressed, offset !== undefined, endOf(extent) === size]
  return flags.reduce((sum, flag, bit) => (flag ? sum | (1 << bit) : sum), 0)
}

/** Where two extents begin to differ, from `at`; one that is not stored anywhere is zeros. */
async function differenceAt(
  at: number,
  length: number,
  [one, here]: readonly [MappedDisk, Extent],
  [other, there]: readonly [MappedDisk, Extent],
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (!here.present && !there.present) return undefined
  if (!here.present) return nonZeroAt(other, at, length, signal)
  if (!there.present) return nonZeroAt(one, at, length, signal)
  const [first, second] = await Promise.all([one.read(at, length, { signal }), other.read(at, length, { signal })])
  const found = firstDifferentSector(first, second)
  return found === length ? undefined : found
}

async function nonZeroAt(
  disk: MappedDisk,
  at: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const found = firstNonZeroSector(await disk.read(at, length, { signal }))
  return found === length ? undefined : found
}
