import { useEffect, useRef, useState } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { VolumeAt } from '../engine/protocol'

/** Larger files are not dragged: all of a file is read before. */
const LARGEST = 64 * 1024 * 1024

export interface DragOut {
  /** The file that has been read and can be dragged. */
  ready: FileEntry | null
  mayDrag(entry: FileEntry): boolean
  /** The mouse is pressed on an entry. */
  prepare(entry: FileEntry): void
  onDragStart(event: DragEvent, entry: FileEntry): void
}

interface Prepared {
  entry: FileEntry
  url: string
}

/**
 * Lets a file be dragged out of the page, where the browser can do that. The drag begins with the file's content at hand, so it is
 * read when the mouse is pressed; a drag that begins before all is read is cancelled.
 */
export function useDragOut(at: VolumeAt): DragOut {
  const [prepared, setPrepared] = useState<Prepared | null>(null)
  const reading = useRef<AbortController | null>(null)
  const url = useRef<string | null>(null)
  const forget = () => {
    reading.current?.abort()
    if (url.current) URL.revokeObjectURL(url.current)
    url.current = null
  }
  useEffect(() => forget, [])

  const mayDrag = ({ kind, size, problem }: FileEntry) => kind === 'file' && size <= LARGEST && !problem
  const prepare = (entry: FileEntry) => {
    if (!mayDrag(entry) || prepared?.entry === entry) return
    forget()
    setPrepared(null)
    const controller = new AbortController()
    reading.current = controller
    engine
      .extractFile(at, entry.path, () => {}, controller.signal)
      .then(
        ({ blob }) => {
          if (controller.signal.aborted) return
          url.current = URL.createObjectURL(blob)
          setPrepared({ entry, url: url.current })
        },
        // The preview shows why it cannot be read.
        () => {},
      )
  }
  const onDragStart = (event: DragEvent, entry: FileEntry) => {
    if (prepared?.entry !== entry || !event.dataTransfer) return event.preventDefault()
    // The colon parts the fields.
    const name = entry.name.replace(/[:/\\]/g, '_')
    event.dataTransfer.effectAllowed = 'copy'
    event.dataTransfer.setData('DownloadURL', `application/octet-stream:${name}:${prepared.url}`)
  }
  return { ready: prepared?.entry ?? null, mayDrag, prepare, onDragStart }
}
