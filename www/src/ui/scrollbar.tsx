import { useRef } from 'preact/hooks'

interface Props {
  /** What it scrolls, by id. */
  controls: string
  label: string
  /** The first row shown, how many are, and how many there are in all. */
  top: bigint
  shown: number
  total: bigint
  onScroll(top: bigint): void
}

/** The share of a position, in parts of this many: finer than any screen. */
const PARTS = 1_000_000n
const MIN_THUMB = 28

/** A scrollbar for more rows than a browser could lay out: disks go to 2 EiB, page heights do not. */
export function Scrollbar({ controls, label, top, shown, total, onScroll }: Props) {
  const track = useRef<HTMLDivElement>(null)
  const grip = useRef(0)
  const last = total - BigInt(shown)
  if (last <= 0n) return <div class="scrollbar idle" aria-hidden="true" />

  const position = Number((top * PARTS) / last) / Number(PARTS)
  const share = Math.min(1, Number((BigInt(shown) * PARTS) / total) / Number(PARTS))

  const thumbOf = (height: number) => Math.max(MIN_THUMB, share * height)
  const scrollTo = (clientY: number) => {
    const box = track.current?.getBoundingClientRect()
    if (!box) return
    const room = box.height - thumbOf(box.height)
    const at = Math.min(1, Math.max(0, (clientY - box.top - grip.current) / Math.max(1, room)))
    onScroll((last * BigInt(Math.round(at * Number(PARTS)))) / PARTS)
  }
  const onPointerDown = (event: PointerEvent) => {
    const box = track.current?.getBoundingClientRect()
    if (!box || event.button !== 0) return
    const thumb = thumbOf(box.height)
    const thumbTop = position * (box.height - thumb)
    const inside = event.clientY - box.top - thumbTop
    grip.current = inside >= 0 && inside <= thumb ? inside : thumb / 2
    track.current?.setPointerCapture(event.pointerId)
    scrollTo(event.clientY)
  }
  const onPointerMove = (event: PointerEvent) => {
    if (track.current?.hasPointerCapture(event.pointerId)) scrollTo(event.clientY)
  }
  return (
    <div
      class="scrollbar"
      ref={track}
      role="scrollbar"
      tabIndex={-1}
      aria-controls={controls}
      aria-label={label}
      aria-orientation="vertical"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(position * 100)}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
    >
      <div
        class="thumb"
        style={{
          height: `max(${MIN_THUMB}px, ${share * 100}%)`,
          top: `calc(${position} * (100% - max(${MIN_THUMB}px, ${share * 100}%)))`,
        }}
      />
    </div>
  )
}
