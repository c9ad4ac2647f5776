/** The layout of the map's cells on the screen. Columns come in sixteens, so that rows begin at roundish offsets. */

import { cellFor } from './cell'

export interface Grid {
  columns: number
  rows: number
  /** The distance from one cell to the next, in CSS pixels. */
  pitch: number
}

/** What of the disk the grid shows: rows from `topRow`, each cell `cell` bytes. */
export interface View extends Grid {
  size: number
  cell: number
  topRow: number
  totalRows: number
}

const SMALLEST_PITCH = 9
const LARGEST_PITCH = 34
/** Cells larger than this show less than they could. */
const COMFORTABLE_PITCH = 15
const COLUMN_STEP = 16

/**
 * The grid that covers most of the room when it shows the whole disk. Cells are a power-of-two number of clusters, so a
 * fixed number of columns would often leave half of the room empty.
 */
export function layout(width: number, height: number, size: number, clusterSize: number): Grid {
  let best: Grid | null = null
  let bestScore = 0
  for (let columns = COLUMN_STEP; ; columns += COLUMN_STEP) {
    const pitch = Math.min(LARGEST_PITCH, Math.floor(width / columns))
    if (pitch < SMALLEST_PITCH && best) return best
    const grid = { columns, pitch: Math.max(1, pitch), rows: Math.max(1, Math.floor(height / Math.max(1, pitch))) }
    const used = Math.ceil(Math.ceil(size / wholeCell(grid, size, clusterSize)) / columns)
    const area = used * grid.pitch * columns * grid.pitch
    const score = area * Math.min(1, COMFORTABLE_PITCH / grid.pitch)
    if (best && score <= bestScore) continue
    best = grid
    bestScore = score
  }
}

/** The coarsest cell: with it the whole disk is on the screen. */
export function wholeCell(grid: Grid, size: number, clusterSize: number): number {
  return cellFor(size, clusterSize, grid.columns * grid.rows)
}

/** Rounds a cell size to a possible one: a power-of-two number of clusters, no more than the whole disk needs. */
export function validCell(wanted: number, whole: number, clusterSize: number): number {
  if (wanted <= 0 || wanted >= whole) return whole
  let cell = clusterSize
  while (cell * 2 <= wanted) cell *= 2
  return cell
}

export function viewOf(grid: Grid, size: number, cell: number, topRow: number): View {
  const totalRows = Math.max(1, Math.ceil(size / (cell * grid.columns)))
  const last = Math.max(0, totalRows - grid.rows)
  return { ...grid, size, cell, totalRows, topRow: Math.min(last, Math.max(0, Math.floor(topRow))) }
}

export const startOf = (view: View): number => view.topRow * view.columns * view.cell

export const endOf = (view: View): number => Math.min(view.size, startOf(view) + view.rows * view.columns * view.cell)

export const cellCount = (view: View): number => Math.ceil((endOf(view) - startOf(view)) / view.cell)

/** The first byte of the cell at a point of the canvas, or `null` beside the disk. */
export function offsetAt(view: View, x: number, y: number): number | null {
  const column = Math.floor(x / view.pitch)
  const row = Math.floor(y / view.pitch)
  if (column < 0 || column >= view.columns || row < 0 || row >= view.rows) return null
  const offset = startOf(view) + (row * view.columns + column) * view.cell
  return offset < view.size ? offset : null
}

/** The first row to show, so that `offset` keeps the screen row `row`. */
export function topRowFor(view: View, offset: number, row: number): number {
  return Math.floor(offset / (view.cell * view.columns)) - row
}

/** The screen row of `offset`; it may be outside the screen. */
export function rowOf(view: View, offset: number): number {
  return Math.floor(offset / (view.cell * view.columns)) - view.topRow
}
