import { useEffect, useRef } from 'preact/hooks'
import { drawCell } from '../map/paint'
import { readPalette } from '../map/palette'
import { rebucket } from '../map/rebucket'
import { overview } from '../state/survey'
import { theme } from '../state/theme'
import { useDarkMode } from '../ui/use-dark-mode'
import { useSize } from '../ui/use-size'
import { offsetAt, type ScaledPart } from './scale'

interface Props {
  scale: ScaledPart[]
  goTo(offset: number): void
}

const HEIGHT = 12

/** What is stored where, on the same scale as the partitions above it. */
export function AllocationStrip({ scale, goTo }: Props) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const canvas = useRef<HTMLCanvasElement>(null)
  const dark = useDarkMode()
  const survey = overview.value?.survey ?? null

  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!canvas.current || !context || width === 0) return
    const ratio = devicePixelRatio
    const columns = Math.round(width * ratio)
    canvas.current.width = columns
    canvas.current.height = HEIGHT * ratio
    const palette = readPalette(canvas.current)
    context.fillStyle = palette.unallocated
    context.fillRect(0, 0, columns, HEIGHT * ratio)
    if (!survey) return
    for (const { start, length, left, width } of scale) {
      const first = Math.round(left * columns)
      const count = Math.round((left + width) * columns) - first
      if (count <= 0) continue
      const shares = rebucket(survey, start, length / count, count)
      for (let column = 0; column < count; column++) {
        drawCell(context, palette, shares, column, { x: first + column, y: 0, width: 1, height: HEIGHT * ratio })
      }
    }
  }, [survey, width, JSON.stringify(scale), dark, theme.value])

  return (
    <div class="allocation" ref={box}>
      <canvas
        ref={canvas}
        onClick={(event) => {
          const at = offsetAt(scale, event.offsetX / Math.max(1, width))
          goTo(at - (at % 512))
        }}
      />
    </div>
  )
}
