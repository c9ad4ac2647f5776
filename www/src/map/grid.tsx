import { useEffect, useRef } from 'preact/hooks'
import { useDarkMode } from '../ui/use-dark-mode'
import { cellCount, offsetAt, startOf, type View } from './geometry'
import { drawCell } from './paint'
import { readPalette } from './palette'

interface Props {
  view: View
  /** Bytes of each kind for each cell; `null` until something is known. */
  shares: Float64Array | null
  selected: number
  hovered: number | null
  onHover(offset: number | null, x: number, y: number): void
  onSelect(offset: number): void
  onZoom(offset: number, direction: 1 | -1): void
  onPan(rows: number): void
}

const WHEEL_STEP = 60
/** Room around the cells for the ring of the selected one. */
const MARGIN = 3

/** The cells, painted; the keyboard belongs to the panel around it. */
export function MapGrid({ view, shares, selected, hovered, onHover, onSelect, onZoom, onPan }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const wheel = useRef(0)
  const drag = useRef<{ y: number; moved: boolean } | null>(null)
  const dark = useDarkMode()
  const width = view.columns * view.pitch + 2 * MARGIN
  const height = view.rows * view.pitch + 2 * MARGIN
  const at = (event: MouseEvent) => offsetAt(view, event.offsetX - MARGIN, event.offsetY - MARGIN)

  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!canvas.current || !context) return
    canvas.current.width = Math.round(width * devicePixelRatio)
    canvas.current.height = Math.round(height * devicePixelRatio)
    paint(context, view, shares, selected, hovered)
  }, [view, shares, selected, hovered, dark, width, height])

  // The wheel must be listened to actively, or the page scrolls too.
  useEffect(() => {
    const target = canvas.current
    const onWheel = (event: WheelEvent) => {
      event.preventDefault()
      wheel.current += event.deltaY
      if (Math.abs(wheel.current) < WHEEL_STEP) return
      const direction = wheel.current < 0 ? 1 : -1
      wheel.current = 0
      if (event.shiftKey) onPan(direction === 1 ? -1 : 1)
      else onZoom(at(event) ?? selected, direction)
    }
    target?.addEventListener('wheel', onWheel, { passive: false })
    return () => target?.removeEventListener('wheel', onWheel)
  }, [view, selected, onZoom, onPan])

  const onPointerMove = (event: PointerEvent) => {
    const held = drag.current
    if (held) {
      const rows = Math.trunc((held.y - event.offsetY) / view.pitch)
      if (rows === 0) return
      drag.current = { y: event.offsetY, moved: true }
      onPan(rows)
      return
    }
    onHover(at(event), event.offsetX, event.offsetY)
  }
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return
    drag.current = { y: event.offsetY, moved: false }
    canvas.current?.setPointerCapture(event.pointerId)
  }
  const onPointerUp = (event: PointerEvent) => {
    const held = drag.current
    drag.current = null
    if (!held || held.moved) return
    const offset = at(event)
    if (offset !== null) onSelect(offset)
  }
  return (
    <canvas
      ref={canvas}
      style={{ width: `${width}px`, height: `${height}px`, margin: `${-MARGIN}px` }}
      data-margin={MARGIN}
      data-start={startOf(view)}
      data-cell={view.cell}
      data-columns={view.columns}
      data-pitch={view.pitch}
      onPointerMove={onPointerMove}
      onPointerDown={onPointerDown}
      onPointerUp={onPointerUp}
      onPointerCancel={() => {
        drag.current = null
      }}
      onPointerLeave={() => onHover(null, 0, 0)}
      onDblClick={(event) => {
        const offset = at(event)
        if (offset !== null) onZoom(offset, 1)
      }}
    />
  )
}

function paint(
  context: CanvasRenderingContext2D,
  view: View,
  shares: Float64Array | null,
  selected: number,
  hovered: number | null,
): void {
  const palette = readPalette(context.canvas)
  const ratio = devicePixelRatio
  const gap = view.pitch >= 8 ? 2 : 1
  const side = Math.round((view.pitch - gap) * ratio)
  const start = startOf(view)
  const count = cellCount(view)
  const boxOf = (cell: number) => ({
    x: Math.round((MARGIN + (cell % view.columns) * view.pitch) * ratio),
    y: Math.round((MARGIN + Math.floor(cell / view.columns) * view.pitch) * ratio),
    width: side,
    height: side,
  })

  context.clearRect(0, 0, context.canvas.width, context.canvas.height)
  for (let cell = 0; cell < count; cell++) {
    const box = boxOf(cell)
    context.fillStyle = palette.unallocated
    context.fillRect(box.x, box.y, box.width, box.height)
    if (shares) drawCell(context, palette, shares, cell, box)
  }
  ring(hovered, palette.ink, 1)
  ring(selected, palette.ink, 2)

  function ring(offset: number | null, colour: string, weight: number): void {
    if (offset === null) return
    const cell = Math.floor((offset - start) / view.cell)
    if (cell < 0 || cell >= count) return
    const { x, y } = boxOf(cell)
    const line = weight * ratio
    context.strokeStyle = colour
    context.lineWidth = line
    const out = line / 2 + ratio / 2
    context.strokeRect(x - out, y - out, side + 2 * out, side + 2 * out)
  }
}
