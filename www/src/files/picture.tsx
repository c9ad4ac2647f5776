import { useEffect, useRef, useState } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { VolumeAt } from '../engine/protocol'
import { formatSize } from '../values/size'

/** Larger files are not drawn: an image is read as a whole. */
const LARGEST = 64 * 1024 * 1024

/** No more of an image's pixels are drawn in either direction. */
const MOST_PIXELS = 1600

interface Props {
  at: VolumeAt
  entry: FileEntry
  type: string
  size: number
}

/** An image, drawn on a canvas: it has no address of its own, and nothing in it runs. */
export function Picture({ at, entry, type, size }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [shape, setShape] = useState<{ width: number; height: number } | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  useEffect(() => {
    if (size > LARGEST) return setProblem(`Images of more than ${formatSize(LARGEST)} are not drawn here.`)
    const controller = new AbortController()
    const draw = async () => {
      const bytes = await engine.readFile(at, entry.path, 0, size, controller.signal)
      const image = await createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>], { type }))
      const { width, height } = image
      const scale = Math.min(1, MOST_PIXELS / Math.max(width, height))
      const element = canvas.current
      if (element && !controller.signal.aborted) {
        element.width = Math.max(1, Math.round(width * scale))
        element.height = Math.max(1, Math.round(height * scale))
        element.getContext('2d')?.drawImage(image, 0, 0, element.width, element.height)
        setShape({ width, height })
      }
      image.close()
    }
    draw().catch(() => {
      if (!controller.signal.aborted) setProblem('The browser cannot draw this image.')
    })
    return () => controller.abort()
  }, [])
  if (problem) return <p class="soft">{problem}</p>
  return (
    <figure class="picture">
      <canvas ref={canvas} role="img" aria-label={entry.name} />
      <figcaption class="soft">{shape ? `${shape.width} × ${shape.height} pixels` : 'Drawing…'}</figcaption>
    </figure>
  )
}
