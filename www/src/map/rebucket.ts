import { KINDS, type Survey } from '../engine/protocol'

/**
 * A survey on another scale: `count` cells of `cell` bytes from `start`. Cells that are finer than the survey share out
 * what it knows; so a zoom shows something immediately, until the finer survey is there.
 */
export function rebucket(survey: Survey, start: number, cell: number, count: number): Float64Array {
  const result = new Float64Array(count * KINDS.length)
  const buckets = survey.bytes.length / KINDS.length
  const end = start + cell * count
  const first = Math.max(0, Math.floor((start - survey.start) / survey.bucketSize))
  for (let bucket = first; bucket < buckets; bucket++) {
    const from = survey.start + bucket * survey.bucketSize
    if (from >= end) break
    const to = Math.min(from + survey.bucketSize, survey.end)
    addShares(result, survey.bytes, bucket, { from, to }, start, cell, count)
  }
  return result
}

function addShares(
  result: Float64Array,
  bytes: Float64Array,
  bucket: number,
  { from, to }: { from: number; to: number },
  start: number,
  cell: number,
  count: number,
): void {
  const firstCell = Math.max(0, Math.floor((from - start) / cell))
  const lastCell = Math.min(count - 1, Math.ceil((to - start) / cell) - 1)
  for (let index = firstCell; index <= lastCell; index++) {
    const overlap = Math.min(to, start + (index + 1) * cell) - Math.max(from, start + index * cell)
    if (overlap <= 0) continue
    const share = overlap / (to - from)
    for (let kind = 0; kind < KINDS.length; kind++) {
      const slot = index * KINDS.length + kind
      result[slot] = (result[slot] ?? 0) + (bytes[bucket * KINDS.length + kind] ?? 0) * share
    }
  }
}
