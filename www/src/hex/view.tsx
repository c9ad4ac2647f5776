import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { changed } from '../state/edit'
import { Scrollbar } from '../ui/scrollbar'
import { useSize } from '../ui/use-size'
import { formatOffset } from '../values/offset'
import type { Blocks } from './blocks'
import { printable } from './decode'
import { Row } from './row'
import { useTyping } from './typing'

const ROW_HEIGHT = 22
const SCROLLBAR = 14

/** How many bytes a row has, and whether there is little room around them. */
interface Shape {
  columns: number
  tight: boolean
}

const NARROWEST: Shape = { columns: 4, tight: true }
const SHAPES: Shape[] = [16, 8].flatMap((columns) => [
  { columns, tight: false },
  { columns, tight: true },
])

/** What a row has beside its characters, in pixels: the room around each byte, and between the columns. */
const beside = ({ columns, tight }: Shape) => columns * (tight ? 4.2 : 8.4) + (columns > 8 ? 12 : 0) + (tight ? 20 : 44)

interface Props {
  focus: RefObject<HTMLDivElement | null>
  blocks: Blocks
  size: number
  at: bigint
  /** The same, now: keys may come faster than the view is drawn. */
  selected(): bigint
  onMove(to: bigint): void
  /** Whether typing changes the bytes. */
  edit: boolean
}

/** The rows that fit, and no others: a disk of exabytes has no more elements than one of kilobytes. */
export function HexView({ focus, blocks, size, at, selected, onMove, edit }: Props) {
  void blocks.arrived.value
  const [box, room] = useSize<HTMLDivElement>()
  const digits = BigInt(size).toString(16).length
  const character = useCharacterWidth(focus, room.width)
  const widthOf = (shape: Shape) => (digits + 3 * shape.columns) * character + beside(shape)
  const { columns, tight } =
    SHAPES.find((shape) => room.width === 0 || widthOf(shape) <= room.width - SCROLLBAR) ?? NARROWEST
  const perRow = BigInt(columns)
  const rows = Math.max(1, Math.floor(room.height / ROW_HEIGHT))
  const total = (BigInt(size) + perRow - 1n) / perRow
  const last = total > BigInt(rows) ? total - BigInt(rows) : 0n
  const [wantedTop, setTop] = useState(0n)
  const top = wantedTop > last ? last : wantedTop < 0n ? 0n : wantedTop

  // The selected byte stays in view, whatever moved it; scrolling alone may leave it behind. Before the view is painted,
  // for keys may come at once, and mean nothing to a byte that wasn't asked for.
  const revealed = useRef<string | null>(null)
  useLayoutEffect(() => {
    const wanted = `${at} ${columns}`
    if (room.height === 0 || revealed.current === wanted) return
    const first = revealed.current === null
    revealed.current = wanted
    const row = at / perRow
    const show = (first: bigint) => setTop(clamp(first, last))
    if (row < top) show(top - row === 1n && !first ? row : row - BigInt(Math.floor(rows / 3)))
    else if (row >= top + BigInt(rows))
      show(row - top === BigInt(rows) ? row - BigInt(rows - 1) : row - BigInt(Math.floor(rows / 3)))
  }, [at, columns, room.height])

  useEffect(() => {
    let rest = 0
    const onWheel = (event: WheelEvent) => {
      event.preventDefault()
      rest += event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * ROW_HEIGHT : event.deltaY
      const moved = Math.trunc(rest / ROW_HEIGHT)
      rest -= moved * ROW_HEIGHT
      if (moved) setTop((before) => clamp(before + BigInt(moved), last))
    }
    const element = box.current
    element?.addEventListener('wheel', onWheel, { passive: false })
    return () => element?.removeEventListener('wheel', onWheel)
  }, [last])

  const typing = useTyping({ edit, size, at: selected, onMove })

  const onKeyDown = (event: KeyboardEvent) => {
    if (typing.onKeyDown(event)) {
      event.preventDefault()
      // The same keys are shortcuts elsewhere.
      event.stopPropagation()
      return
    }
    const at = selected()
    const end = BigInt(size) - 1n
    const page = perRow * BigInt(Math.max(1, rows - 1))
    const rowStart = at - (at % perRow)
    const moves: Record<string, bigint> = {
      ArrowLeft: at - 1n,
      ArrowRight: at + 1n,
      ArrowUp: at >= perRow ? at - perRow : at,
      ArrowDown: at + perRow <= end ? at + perRow : at,
      PageUp: at - page > 0n ? at - page : at % perRow,
      PageDown: at + page <= end ? at + page : end,
      Home: event.ctrlKey ? 0n : rowStart,
      End: event.ctrlKey ? end : rowStart + perRow - 1n,
    }
    const to = event.altKey || event.metaKey ? undefined : moves[event.key]
    if (to === undefined) return
    event.preventDefault()
    onMove(to)
  }

  const onPointerDown = (event: PointerEvent) => {
    const cell = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-at]') : null
    if (!cell?.dataset.at) return
    typing.into(cell.closest('.hex-text') ? 'text' : 'hex')
    onMove(BigInt(cell.dataset.at))
  }

  const lines = []
  for (let row = top; row < top + BigInt(rows) && row < total; row++) {
    const start = row * perRow
    lines.push(
      <Row
        key={String(row)}
        start={start}
        columns={columns}
        digits={digits}
        selected={at}
        size={size}
        blocks={blocks}
        changed={changed.value}
        typing={typing}
      />,
    )
  }
  return (
    <div class="hex-box" ref={box}>
      <div
        class={`hex-rows ${tight ? 'tight' : ''}`}
        id="hex-rows"
        ref={focus}
        role="grid"
        aria-label={edit ? 'Bytes, to be changed by typing' : 'Bytes'}
        aria-readonly={!edit}
        data-column={edit ? typing.column : undefined}
        aria-rowcount={-1}
        aria-activedescendant={`byte-${at}`}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onPointerDown={onPointerDown}
      >
        {room.height > 0 && lines}
      </div>
      <Scrollbar
        controls="hex-rows"
        label="Position in the bytes"
        top={top}
        shown={rows}
        total={total}
        onScroll={setTop}
      />
      <p class="visually-hidden" aria-live="polite">
        {spoken(blocks.byte(at), at)}
      </p>
    </div>
  )
}

/** The width of a character in the font of an element. Fonts differ, and so does what a person has set. */
function useCharacterWidth(element: RefObject<HTMLElement | null>, room: number): number {
  const [width, setWidth] = useState(8.43)
  useLayoutEffect(() => {
    const context = document.createElement('canvas').getContext('2d')
    if (!element.current || !context) return
    // The shorthand is empty where a part of it is set that it does not name.
    const { fontSize, fontFamily } = getComputedStyle(element.current)
    context.font = `${fontSize} ${fontFamily}`
    setWidth(context.measureText('0'.repeat(100)).width / 100)
  }, [room])
  return width
}

const clamp = (row: bigint, last: bigint) => (row < 0n ? 0n : row > last ? last : row)

function spoken(byte: number | string | null, at: bigint): string {
  if (byte === null) return ''
  if (typeof byte === 'string') return `${formatOffset(at)} can't be read: ${byte}`
  return `${formatOffset(at)}: ${byte.toString(16).padStart(2, '0')} ${printable(byte)}`
}
