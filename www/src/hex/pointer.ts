import type { RefObject } from 'preact'
import { useRef } from 'preact/hooks'
import { ROW_HEIGHT } from './rows'
import type { Column } from './typing'

interface Options {
  focus: RefObject<HTMLElement | null>
  columns: number
  size: number
  selected(): bigint
  scrollBy(rows: number): void
  into(column: Column): void
  onMove(to: bigint): void
  onExtend(to: bigint): void
}

/** Selects by pressing and dragging. A finger scrolls instead, and selects the byte that it only touches. */
export function usePointer({ focus, columns, size, selected, scrollBy, into, onMove, onExtend }: Options) {
  const drag = useRef<{ y: number; touch: boolean; moved: boolean } | null>(null)

  const press = (event: PointerEvent) => {
    const under = byteUnder(event)
    if (!under) return
    into(under.column)
    if (event.shiftKey) onExtend(under.at)
    else onMove(under.at)
  }
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return
    const touch = event.pointerType === 'touch'
    drag.current = { y: event.clientY, touch, moved: false }
    if (event.isTrusted) focus.current?.setPointerCapture(event.pointerId)
    if (!touch) press(event)
  }
  const onPointerMove = (event: PointerEvent) => {
    const now = drag.current
    if (!now) return
    if (now.touch) {
      const rows = Math.trunc((now.y - event.clientY) / ROW_HEIGHT)
      if (rows === 0) return
      drag.current = { ...now, y: now.y - rows * ROW_HEIGHT, moved: true }
      scrollBy(rows)
      return
    }
    const at = byteUnder(event)?.at ?? beyond(event)
    if (at !== null && at >= 0n && at < BigInt(size) && at !== selected()) onExtend(at)
  }
  const onPointerUp = (event: PointerEvent) => {
    if (drag.current?.touch && !drag.current.moved) press(event)
    drag.current = null
  }
  /** Above and below the rows the selection grows by a row for each movement. */
  const beyond = ({ clientY }: PointerEvent): bigint | null => {
    const box = focus.current?.getBoundingClientRect()
    if (!box) return null
    if (clientY < box.top) return selected() - BigInt(columns)
    return clientY > box.bottom ? selected() + BigInt(columns) : null
  }
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel: () => (drag.current = null) }
}

function byteUnder({ clientX, clientY }: PointerEvent): { at: bigint; column: Column } | null {
  // The event's own target is what captured the pointer.
  const cell = document.elementFromPoint(clientX, clientY)?.closest<HTMLElement>('.hex-rows [data-at]')
  if (!cell?.dataset.at) return null
  const at = BigInt(cell.dataset.at)
  if (!cell.dataset.length) return { at, column: 'hex' }
  const { left, width } = cell.getBoundingClientRect()
  const length = Number(cell.dataset.length)
  const index = Math.min(length - 1, Math.max(0, Math.floor(((clientX - left) / width) * length)))
  return { at: at + BigInt(index), column: 'text' }
}
