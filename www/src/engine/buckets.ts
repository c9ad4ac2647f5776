/** Extents gathered into a fixed number of buckets, so that a disk of any size costs the same memory. */

import type { Extent } from 'qcow2-web'
import { KINDS, type Kind, type Survey, type SurveyRequest } from './protocol'

/** More than any screen shows; a request for more is a mistake. */
export const MAX_BUCKETS = 65_536

export function kindOf(extent: Pick<Extent, 'depth' | 'present' | 'zero' | 'data' | 'compressed'>): Kind {
  if (!extent.present && !extent.data) return 'unallocated'
  if (extent.zero) return 'zero'
  if (extent.depth > 0) return extent.depth === 1 ? 'backing1' : extent.depth === 2 ? 'backing2' : 'backing3'
  return extent.compressed ? 'compressed' : 'data'
}

export class Buckets {
  readonly count: number
  private readonly bytes: Float64Array
  private done: number

  constructor(private readonly request: SurveyRequest) {
    this.count = Math.ceil((request.end - request.start) / request.bucketSize)
    if (!(this.count >= 0 && this.count <= MAX_BUCKETS)) throw new RangeError(`A survey of ${this.count} buckets`)
    this.bytes = new Float64Array(this.count * KINDS.length)
    this.done = request.start
  }

  /** Adds the part of `extent` inside the surveyed range. */
  add(extent: Extent): void {
    const { start, end, bucketSize } = this.request
    const kind = KINDS.indexOf(kindOf(extent))
    const to = Math.min(extent.start + extent.length, end)
    let at = Math.max(extent.start, start)
    while (at < to) {
      const bucket = Math.floor((at - start) / bucketSize)
      const next = Math.min(to, start + (bucket + 1) * bucketSize)
      const slot = bucket * KINDS.length + kind
      this.bytes[slot] = (this.bytes[slot] ?? 0) + (next - at)
      at = next
    }
    this.done = Math.max(this.done, to)
  }

  /** How far the survey has come, where the engine knows it before the extent ends. */
  reached(offset: number): void {
    this.done = Math.max(this.done, Math.min(offset, this.request.end))
  }

  /** A copy of the sums so far. */
  survey(): Survey {
    const { start, end, bucketSize } = this.request
    return { start, bucketSize, bytes: this.bytes.slice(), done: this.done, end }
  }
}
