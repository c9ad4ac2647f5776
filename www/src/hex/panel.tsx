import { useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { ByteSource, Disk, HeldFile, OpenedImage } from '../engine/protocol'
import { editable, shownBlocks } from '../state/edit'
import { go, route } from '../state/route'
import { saving } from '../state/save'
import { GoTo } from '../ui/goto'
import { clampOffset } from '../values/offset'
import { Blocks } from './blocks'
import { Inspector } from './inspector'
import { SourceChoice } from './source'
import { HexView } from './view'

/** The bytes of the decoded disk, or of a file as it is. */
export function HexPanel({ image, disk }: { image: OpenedImage; disk: Disk }) {
  const { of } = route.value
  const file = image.files.find((candidate) => candidate.key === of)
  return <Bytes files={image.files} disk={disk} file={file} generation={image.generation} />
}

interface Props {
  files: HeldFile[]
  /** Absent where the image can't be opened: then there are files only. */
  disk: Disk | null
  file: HeldFile | undefined
  generation: number
}

export function Bytes({ files, disk, file, generation }: Props) {
  const shown = file ?? (disk ? undefined : files[0])
  const size = shown?.size ?? disk?.size ?? 0
  const source: ByteSource = shown ? { of: 'file', key: shown.key } : { of: 'disk', snapshot: disk?.snapshot ?? null }
  const key = `${generation} ${JSON.stringify(source)} ${size}`
  const blocks = useMemo(() => new Blocks(source, size), [key])
  // Typing changes what is shown, from the first paint on.
  useLayoutEffect(() => {
    if (!shown) shownBlocks.value = blocks
    return () => {
      if (shownBlocks.peek() === blocks) shownBlocks.value = null
      blocks.close()
    }
  }, [blocks])

  const view = useRef<HTMLDivElement>(null)
  const at = clampOffset(route.value.at, size)
  const move = (to: bigint) => go({ at: clampOffset(to, size) })

  return (
    <div class="hex">
      <div class="hex-main card">
        <div class="toolbar">
          <SourceChoice files={files} disk={disk} shown={shown} />
          <span class="spacer" />
          <GoTo end={BigInt(size)} onGo={move} view={view} />
        </div>
        {size === 0 ? (
          <p class="empty">There are no bytes here.</p>
        ) : (
          <HexView
            key={key}
            focus={view}
            blocks={blocks}
            size={size}
            at={at}
            selected={() => clampOffset(route.peek().at, size)}
            onMove={move}
            edit={!shown && editable.value && saving.value === null}
          />
        )}
      </div>
      <Inspector blocks={blocks} size={size} at={at} disk={shown ? null : disk} files={files} />
    </div>
  )
}
