import { KINDS } from '../engine/protocol'
import type { Palette } from './palette'

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

/** The kinds from the bottom of a cell to its top: stored data first, unallocated last. */
const STACK = ['data', 'compressed', 'backing1', 'backing2', 'backing3', 'zero'] as const

/**
 * Fills a cell from below with what it holds, in proportion, over the colour of the unallocated. Whatever is in it at
 * all gets at least two pixels, so that a single cluster in a terabyte still shows.
 */
export function drawCell(
  context: CanvasRenderingContext2D,
  palette: Palette,
  shares: Float64Array,
  cell: number,
  box: Box,
): void {
  let total = 0
  for (let kind = 0; kind < KINDS.length; kind++) total += shares[cell * KINDS.length + kind] ?? 0
  if (total <= 0) return

  let bottom = box.y + box.height
  for (const kind of STACK) {
    const share = (shares[cell * KINDS.length + KINDS.indexOf(kind)] ?? 0) / total
    if (share <= 0) continue
    const height = Math.min(bottom - box.y, Math.max(Math.min(2, box.height), Math.round(share * box.height)))
    context.fillStyle = palette[kind]
    context.fillRect(box.x, bottom - height, box.width, height)
    bottom -= height
  }
}
