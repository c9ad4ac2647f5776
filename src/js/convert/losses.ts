import { isQcow2Error, Qcow2Error } from '../base/errors.js'

/** A range of the disk that could not be read. */
export interface UnreadableRange {
  /** Where it begins on the disk, in bytes. */
  readonly offset: number
  /** Its length in bytes. */
  readonly length: number
  /** Why its first sector could not be read. */
  readonly error: unknown
}

/** How many ranges are listed at most. */
const limit = 1000

/** Collects what of a disk could not be read, in any order. */
export class Losses {
  readonly #ranges: { offset: number; length: number; error: unknown }[] = []
  readonly #clusterSize: number | undefined
  readonly #report: ((offset: number, error: unknown) => void) | undefined
  /** How many bytes could not be read. */
  bytes = 0

  /**
   * Calls `report` for each sector. `clusterSize` is that of the disk's only file; `undefined` if there are several, or none is known.
   */
  constructor(report: ((offset: number, error: unknown) => void) | undefined, clusterSize: number | undefined) {
    this.#report = report
    this.#clusterSize = clusterSize
  }

  /** Returns whether `error` is about all bytes of a range alike: no part of a corrupt compressed cluster can be read. */
  isWhole(from: number, to: number, error: unknown): boolean {
    const size = this.#clusterSize
    const isInOne = size !== undefined && Math.floor(from / size) === Math.floor((to - 1) / size)
    return isInOne && isQcow2Error(error) && error.code === 'CORRUPT_COMPRESSED_CLUSTER'
  }

  /** The ranges in order, as many as are listed. */
  get ranges(): readonly UnreadableRange[] {
    const merged: { offset: number; length: number; error: unknown }[] = []
    for (const range of [...this.#ranges].sort((one, other) => one.offset - other.offset)) {
      const last = merged.at(-1)
      if (last && last.offset + last.length === range.offset) last.length += range.length
      else merged.push({ ...range })
    }
    return merged
  }

  add(offset: number, length: number, error: unknown): void {
    this.bytes += length
    const last = this.#ranges.at(-1)
    if (last && last.offset + last.length === offset) last.length += length
    else if (this.#ranges.length < limit) this.#ranges.push({ offset, length, error })
    this.#report?.(offset, error)
  }
}

/** True if `error` means that bytes cannot be read, and not that the request itself is invalid. */
export function isDamage(error: unknown): boolean {
  const own = Qcow2Error.from(error)
  return !own || own.kind === 'storage' || own.kind === 'corrupt'
}
