import type { RefObject } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { Icon, type IconName } from '../ui/icon'
import { useSize } from '../ui/use-size'
import { exactBytes, formatSize } from '../values/size'
import { directoryOf, textOf } from './path'
import { type Mode, type Selection, selectAll, selectRow, typedRow } from './selection'
import { COLUMNS, type Column, type Order } from './sort'
import type { DragOut } from './use-drag-out'
import type { DropIn } from './use-drop-in'
import { kindWords, shortDate } from './words'

const ROW = 32
/** Rows beyond the visible ones that are drawn, so that scrolling shows no gaps. */
const MARGIN = 8
/** Milliseconds after which a letter begins another name. */
const TYPING = 900

const TITLES: Record<Column, string> = { name: 'Name', size: 'Size', modified: 'Modified' }
const ICONS: Record<FileEntry['kind'], IconName> = { directory: 'folder', file: 'file', link: 'link', other: 'drive' }

interface Props {
  focus: RefObject<HTMLDivElement | null>
  label: string
  rows: readonly FileEntry[]
  order: Order
  selection: Selection
  /** Each entry with the directory that it is in: they are from several. */
  withDirectory: boolean
  drag: DragOut
  onOrder(by: Column): void
  onSelect(selection: Selection): void
  onOpen(entry: FileEntry): void
  onUp(): void
  /** Absent where nothing can be deleted. */
  onDelete?: (() => void) | undefined
  onUndo?: (() => void) | undefined
  /** Absent where no files can be added. */
  drop?: DropIn | undefined
}

/** A list of files that can be sorted, with the keys of file managers. Only the rows that fit are in the document. */
export function FileGrid(props: Props) {
  const {
    focus,
    label,
    rows,
    order,
    selection,
    withDirectory,
    drag,
    onOrder,
    onSelect,
    onOpen,
    onUp,
    onDelete,
    onUndo,
    drop,
  } = props
  const [box, room] = useSize<HTMLDivElement>()
  const [top, setTop] = useState(0)
  const at = selection.cursor ? rows.indexOf(selection.cursor) : -1
  const perPage = Math.max(1, Math.floor(room.height / ROW) - 1)

  useLayoutEffect(() => {
    if (focus.current) focus.current.scrollTop = 0
  }, [label])

  // The row of the keyboard stays in view.
  useLayoutEffect(() => {
    const scroller = focus.current
    if (!scroller || at < 0) return
    const [start, end] = [at * ROW, at * ROW + ROW]
    const height = scroller.clientHeight - ROW
    if (start < scroller.scrollTop) scroller.scrollTop = start
    else if (end > scroller.scrollTop + height) scroller.scrollTop = end - height
  }, [at, selection.cursor, room.height])

  const typing = useRef({ text: '', last: 0 })
  const select = (index: number, mode: Mode) =>
    onSelect(selectRow(rows, selection, Math.min(Math.max(index, 0), rows.length - 1), mode))

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return
    const control = event.ctrlKey || event.metaKey
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + perPage,
      PageUp: at - perPage,
      Home: 0,
      End: rows.length - 1,
    }
    const to = moves[event.key]
    if (event.altKey && event.key !== 'ArrowUp') return
    if (event.key === 'Backspace' || (event.altKey && event.key === 'ArrowUp')) onUp()
    else if (to !== undefined) select(to, event.shiftKey ? 'range' : control ? 'move' : 'one')
    else if (event.key === 'Enter' && selection.cursor) onOpen(selection.cursor)
    else if (event.key === 'Delete' && onDelete) onDelete()
    else if (control && event.key.toLowerCase() === 'z' && !event.shiftKey && onUndo) onUndo()
    else if (control && event.key.toLowerCase() === 'a') onSelect(selectAll(rows, selection))
    else if (event.key === ' ' && (control || typing.current.last + TYPING < event.timeStamp)) select(at, 'toggle')
    else if (!control && event.key.length === 1) {
      const { text, last } = typing.current
      typing.current = {
        text: event.timeStamp - last < TYPING ? text + event.key : event.key,
        last: event.timeStamp,
      }
      const found = typedRow(rows, at, typing.current.text)
      if (found >= 0) select(found, 'one')
    } else return
    event.preventDefault()
    // Digits are shortcuts elsewhere.
    event.stopPropagation()
  }

  const onClick = (event: MouseEvent, index: number) => {
    const entry = rows[index]
    select(index, event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'one')
    // There is no double click where there is no mouse.
    if ((event as PointerEvent).pointerType === 'touch' && entry?.kind === 'directory') onOpen(entry)
  }

  const first = Math.max(0, Math.floor(top / ROW) - MARGIN)
  const last = Math.min(rows.length, Math.ceil((top + room.height) / ROW) + MARGIN)
  const drawn = Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index)
  if (at >= 0 && (at < first || at >= last)) drawn.push(at)

  return (
    <div
      class={`file-box ${drop?.isOver ? 'over' : ''}`}
      ref={box}
      {...(drop && {
        'data-drop': true,
        onDragOver: drop.onDragOver,
        onDragLeave: drop.onDragLeave,
        onDrop: drop.onDrop,
      })}
    >
      <div
        class="file-grid"
        ref={focus}
        role="grid"
        aria-label={label}
        aria-rowcount={rows.length + 1}
        aria-colcount={COLUMNS.length}
        aria-multiselectable="true"
        aria-activedescendant={at >= 0 ? `file-${at}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      >
        <div class="file-row titles" role="row" aria-rowindex={1}>
          {COLUMNS.map((column) => (
            <div
              key={column}
              class={column}
              role="columnheader"
              aria-sort={order.by !== column ? 'none' : order.descending ? 'descending' : 'ascending'}
            >
              <button type="button" onClick={() => onOrder(column)}>
                {TITLES[column]}
                {order.by === column && <Icon name={order.descending ? 'down' : 'up'} />}
              </button>
            </div>
          ))}
        </div>
        <div class="file-rows" role="rowgroup" style={{ height: `${rows.length * ROW}px` }}>
          {drawn.map((index) => (
            <FileRow
              key={index}
              index={index}
              entry={rows[index] as FileEntry}
              isCursor={index === at}
              isChosen={selection.chosen.has(rows[index] as FileEntry)}
              withDirectory={withDirectory}
              drag={drag}
              onClick={(event) => onClick(event, index)}
              onOpen={() => onOpen(rows[index] as FileEntry)}
            />
          ))}
        </div>
      </div>
    </div>
  )
}

interface RowProps {
  index: number
  entry: FileEntry
  isCursor: boolean
  isChosen: boolean
  withDirectory: boolean
  drag: DragOut
  onClick(event: MouseEvent): void
  onOpen(): void
}

function FileRow({ index, entry, isCursor, isChosen, withDirectory, drag, onClick, onOpen }: RowProps) {
  const { name, kind, size, modified, problem } = entry
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: The grid has the keys.
    <div
      id={`file-${index}`}
      class={`file-row ${isCursor ? 'cursor' : ''}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen}
      tabIndex={-1}
      style={{ top: `${index * ROW}px` }}
      draggable={drag.mayDrag(entry)}
      data-ready={drag.ready === entry}
      onMouseDown={() => drag.prepare(entry)}
      onDragStart={(event) => drag.onDragStart(event, entry)}
      onClick={onClick}
      onDblClick={onOpen}
    >
      <div class={`name is-${kind}`} role="gridcell" title={problem ?? textOf(entry.path)}>
        <Icon name={problem ? 'warn' : ICONS[kind]} />
        <span class="visually-hidden">{kindWords(entry)}: </span>
        <bdi>{name}</bdi>
        {withDirectory && <span class="soft in">{textOf(directoryOf(entry.path))}</span>}
      </div>
      <div class="size" role="gridcell" title={kind === 'file' ? exactBytes(size) : undefined}>
        {kind === 'file' ? formatSize(size) : ''}
      </div>
      <div class="modified" role="gridcell">
        {modified === undefined ? '' : shortDate(modified)}
      </div>
    </div>
  )
}
