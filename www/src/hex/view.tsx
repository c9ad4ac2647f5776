import type { RefObject, VNode } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { changed } from '../state/edit'
import type { ByteRange } from '../state/selection'
import { Scrollbar } from '../ui/scrollbar'
import { useSize } from '../ui/use-size'
import { formatOffset } from '../values/offset'
import { BLOCK, type Blocks } from './blocks'
import { printable } from './decode'
import { usePointer } from './pointer'
import { Row, type RowLook, sameLook } from './row'
import { ROW_HEIGHT } from './rows'
import { type Column, useTyping } from './typing'

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
  selection: ByteRange
  /** The byte at which the page is, now: keys may come faster than the view is drawn. */
  selected(): bigint
  onMove(to: bigint): void
  /** Selects from where the selection began to a byte. */
  onExtend(to: bigint): void
  onSelectAll(): void
  onCopy(column: Column): void
  /** Whether typing changes the bytes. */
  edit: boolean
}

/** The rows that fit, and no others: a disk of exabytes has no more elements than one of kilobytes. */
export function HexView(props: Props) {
  const { focus, blocks, size, at, selection, selected, onMove, onExtend, edit } = props
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
  const scrollBy = (moved: number) => setTop((before) => clamp(before + BigInt(moved), last))

  // The selected byte stays in view, whatever moved it. Only scrolling may move it out of view. Before the view is painted,
  // for keys may follow immediately, and mean nothing to a byte that wasn't asked for.
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
      if (moved) scrollBy(moved)
    }
    const element = box.current
    element?.addEventListener('wheel', onWheel, { passive: false })
    return () => element?.removeEventListener('wheel', onWheel)
  }, [last])

  const typing = useTyping({ edit, size, at: selected, onMove })
  const pointer = usePointer({ focus, columns, size, selected, scrollBy, into: typing.into, onMove, onExtend })

  const onKeyDown = (event: KeyboardEvent) => {
    if (typing.onKeyDown(event)) {
      event.preventDefault()
      // The same keys are shortcuts elsewhere.
      event.stopPropagation()
      return
    }
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      const key = event.key.toLowerCase()
      if (key === 'a' || key === 'c') {
        event.preventDefault()
        if (key === 'a') props.onSelectAll()
        else props.onCopy(typing.column)
        return
      }
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
    if (event.shiftKey) onExtend(to)
    else onMove(to)
  }

  const look = (row: bigint): RowLook => {
    const start = row * perRow
    const rest = BigInt(size) - start
    const count = rest < perRow ? Number(rest) : columns
    const columnOf = (offset: bigint) =>
      offset <= start ? 0 : offset - start >= perRow ? columns : Number(offset - start)
    const block = blocks.at(start)
    const cursor = at >= start && at < start + perRow ? Number(at - start) : -1
    return {
      start,
      count,
      columns,
      digits,
      block,
      within: Number(start % BigInt(BLOCK)),
      version: block?.version ?? 0,
      from: columnOf(selection.start),
      to: columnOf(selection.end),
      cursor,
      digit: cursor < 0 ? null : typing.digit(at),
      changed: changed.value,
    }
  }
  const shown = Array.from({ length: room.height > 0 ? rows : 0 }, (_, index) => top + BigInt(index))
  const lines = useUnchanged(shown.filter((row) => row < total).map(look))
  return (
    <div class="hex-box" ref={box}>
      <div
        class={`hex-rows ${tight ? 'tight' : ''}`}
        id="hex-rows"
        ref={focus}
        role="grid"
        aria-label={edit ? 'Bytes, to be changed by typing' : 'Bytes'}
        aria-readonly={!edit}
        aria-multiselectable
        data-column={edit ? typing.column : undefined}
        aria-rowcount={-1}
        aria-activedescendant={`byte-${at}`}
        tabIndex={0}
        onKeyDown={onKeyDown}
        {...pointer}
      >
        {lines}
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

/** The rows. One that looks as it did before is the same node as before, which Preact does not compare again. */
function useUnchanged(looks: readonly RowLook[]): VNode[] {
  const before = useRef(new Map<bigint, { look: RowLook; line: VNode }>())
  const now: typeof before.current = new Map()
  for (const look of looks) {
    const known = before.current.get(look.start)
    const line = known && sameLook(known.look, look) ? known.line : <Row key={String(look.start)} {...look} />
    now.set(look.start, { look, line })
  }
  before.current = now
  return [...now.values()].map(({ line }) => line)
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
