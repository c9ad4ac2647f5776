import { useEffect, useRef, useState } from 'preact/hooks'
import type { Disk, OpenedImage } from '../engine/protocol'
import { go, route } from '../state/route'
import { mapWindow } from '../strip/window'
import { GoTo } from '../ui/goto'
import { Icon } from '../ui/icon'
import { Scrollbar } from '../ui/scrollbar'
import { SurveyProgress } from '../ui/survey-progress'
import { useSize } from '../ui/use-size'
import { formatCount, formatSize } from '../values/size'
import { endOf, layout, rowOf, startOf, topRowFor, validCell, viewOf, wholeCell } from './geometry'
import { MapGrid } from './grid'
import { Legend } from './legend'
import { describeCell, Tooltip } from './tooltip'
import { useSurvey } from './use-survey'
import { WalkPanel } from './walk'

const GUTTER = 112
const GAP = 14

/** The cluster map, from the whole disk to one cluster. */
export function MapPanel({ image, disk }: { image: OpenedImage; disk: Disk }) {
  const { clusterSize } = image.info
  const [box, room] = useSize<HTMLDivElement>()
  const [topRow, setTopRow] = useState(0)
  const [hover, setHover] = useState<{ offset: number; x: number; y: number } | null>(null)
  const gutter = room.width < 520 ? 0 : GUTTER
  const grid = layout(Math.max(120, room.width - gutter - GAP), Math.max(120, room.height), disk.size, clusterSize)
  const whole = wholeCell(grid, disk.size, clusterSize)
  const cell = validCell(route.value.cell, whole, clusterSize)
  const view = viewOf(grid, disk.size, cell, topRow)
  const { shares, status } = useSurvey(disk, view)
  const at = Math.min(Number(route.value.at), Math.max(0, disk.size - 1))
  const selected = at - (at % cell)
  const start = startOf(view)
  const end = endOf(view)
  const measured = room.width > 0

  useEffect(() => {
    mapWindow.value = { start, end }
    return () => {
      mapWindow.value = null
    }
  }, [start, end])

  // Whatever moved the selection, it stays in view.
  const reveal = useRef<string | null>(null)
  useEffect(() => {
    const wanted = `${selected} ${cell} ${view.columns}`
    if (!measured || reveal.current === wanted) return
    reveal.current = wanted
    const row = rowOf(view, selected)
    if (row < 0 || row >= view.rows) setTopRow(topRowFor(view, selected, Math.floor(view.rows / 2)))
  }, [selected, cell, view.columns, measured])

  const zoomTo = (next: number, around: number) => {
    const valid = validCell(next, whole, clusterSize)
    if (valid === cell) return
    const row = Math.min(view.rows - 1, Math.max(0, rowOf(view, around)))
    setTopRow(topRowFor({ ...view, cell: valid }, around, row))
    reveal.current = `${at - (at % valid)} ${valid} ${view.columns}`
    go({ cell: valid >= whole ? 0 : valid })
  }
  const zoom = (around: number, direction: 1 | -1) =>
    zoomTo(direction === 1 ? Math.max(clusterSize, cell / 2) : cell * 2, around)
  const select = (offset: number) => go({ at: BigInt(Math.min(Math.max(0, offset), disk.size - 1)) })

  const onKeyDown = (event: KeyboardEvent) => {
    const row = view.columns * cell
    const column = Math.floor(selected / cell) % view.columns
    const lastCell = disk.size - 1 - ((disk.size - 1) % cell)
    const moves: Record<string, () => void> = {
      ArrowRight: () => select(Math.min(selected + cell, lastCell)),
      ArrowLeft: () => select(selected - cell),
      ArrowDown: () => select(Math.min(selected + row, lastCell)),
      ArrowUp: () => select(selected - row),
      PageDown: () => select(Math.min(selected + row * view.rows, lastCell)),
      PageUp: () => select(selected - row * view.rows),
      Home: () => select(event.ctrlKey ? 0 : selected - column * cell),
      End: () => select(event.ctrlKey ? lastCell : Math.min(selected + (view.columns - 1 - column) * cell, lastCell)),
      Enter: () => go({ panel: 'hex', of: 'disk' }, 'push'),
      '+': () => zoom(selected, 1),
      '=': () => zoom(selected, 1),
      '-': () => zoom(selected, -1),
      '0': () => zoomTo(whole, selected),
    }
    const move = event.altKey || event.metaKey ? undefined : moves[event.key]
    if (!move) return
    event.preventDefault()
    move()
  }

  if (disk.size === 0) {
    return <div class="card empty">This disk has no bytes.</div>
  }
  return (
    <div class="map">
      <div class="map-main card">
        <div class="toolbar">
          <div class="joined">
            <ZoomButton label="Zoom out" icon="minus" disabled={cell >= whole} onClick={() => zoom(selected, -1)} />
            <ZoomButton
              label="Whole disk"
              icon="whole"
              disabled={cell >= whole}
              onClick={() => zoomTo(whole, selected)}
            />
            <ZoomButton label="Zoom in" icon="plus" disabled={cell <= clusterSize} onClick={() => zoom(selected, 1)} />
          </div>
          <p class="number scale">
            {cell === clusterSize ? 'A cell is a cluster' : `A cell is ${formatCount(cell / clusterSize)} clusters`}
            <span class="soft">, {formatSize(cell)}</span>
          </p>
          <span class="spacer" />
          {status && status.state !== 'done' && <SurveyProgress state={status} />}
          <GoTo end={BigInt(disk.size)} onGo={(to) => select(Number(to))} view={box} />
        </div>
        <div
          class="map-box"
          ref={box}
          id="map-cells"
          role="application"
          aria-roledescription="cluster map"
          aria-label="Cluster map; arrow keys select a cell, plus and minus zoom, Enter shows the bytes"
          aria-describedby="map-status"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: an application is interactive; it takes the keys of the map.
          tabIndex={0}
          onKeyDown={onKeyDown}
        >
          {measured && (
            <>
              {gutter > 0 && (
                <Gutter
                  rows={view.rows}
                  pitch={view.pitch}
                  start={start}
                  rowBytes={cell * view.columns}
                  size={disk.size}
                />
              )}
              <MapGrid
                view={view}
                shares={shares}
                selected={selected}
                hovered={hover?.offset ?? null}
                onHover={(offset, x, y) => setHover(offset === null ? null : { offset, x: x + gutter, y })}
                onSelect={select}
                onZoom={zoom}
                onPan={(rows) => setTopRow(view.topRow + rows)}
              />
              <Scrollbar
                controls="map-cells"
                label="Position in the disk"
                top={BigInt(view.topRow)}
                shown={view.rows}
                total={BigInt(view.totalRows)}
                onScroll={(top) => setTopRow(Number(top))}
              />
              {hover && <Tooltip {...hover} width={room.width} view={view} shares={shares} />}
            </>
          )}
        </div>
        <p id="map-status" class="visually-hidden" aria-live="polite">
          {describeCell(view, shares, selected).join(', ')}
        </p>
        <Legend />
      </div>
      <WalkPanel image={image} disk={disk} start={selected} end={Math.min(disk.size, selected + cell)} />
    </div>
  )
}

function ZoomButton({
  label,
  icon,
  disabled,
  onClick,
}: {
  label: string
  icon: 'plus' | 'minus' | 'whole'
  disabled: boolean
  onClick(): void
}) {
  return (
    <button type="button" class="button square" aria-label={label} title={label} disabled={disabled} onClick={onClick}>
      <Icon name={icon} />
    </button>
  )
}

interface GutterProps {
  rows: number
  pitch: number
  start: number
  rowBytes: number
  size: number
}

/** Where rows begin, as sizes, which people read more easily than offsets; as many as there is room for. */
function Gutter({ rows, pitch, start, rowBytes, size }: GutterProps) {
  const every = Math.max(1, Math.ceil(18 / pitch))
  const labels = []
  for (let row = 0; row < rows; row += every) {
    const offset = start + row * rowBytes
    if (offset >= size) break
    labels.push(
      <span key={row} style={{ top: `${row * pitch}px`, lineHeight: `${pitch}px` }}>
        {formatSize(offset)}
      </span>,
    )
  }
  return (
    <div class="gutter" aria-hidden="true">
      {labels}
    </div>
  )
}
