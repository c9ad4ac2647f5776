import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { ByteSource, Disk, OpenedImage, OpenFile } from '../engine/protocol'
import { SearchBar } from '../search/bar'
import { copy, copyOutcome } from '../state/copy'
import { editable, shownBlocks } from '../state/edit'
import type { HashChoice } from '../state/hashes'
import { go, route } from '../state/route'
import { saving } from '../state/save'
import { searches, searchOn } from '../state/search'
import { extendTo, selectBetween, selection } from '../state/selection'
import { partitionTable } from '../state/survey'
import { GoTo } from '../ui/goto'
import { Icon } from '../ui/icon'
import { clampOffset } from '../values/offset'
import { Blocks } from './blocks'
import { Inspector } from './inspector'
import { SelectionBar } from './selection-bar'
import { SourceChoice } from './source'
import { HexView } from './view'

/** The bytes of the disk, or the raw content of a file. */
export function HexPanel({ image, disk }: { image: OpenedImage; disk: Disk }) {
  const { of } = route.value
  const file = image.files.find((candidate) => candidate.key === of)
  return <Bytes files={image.files} disk={disk} file={file} generation={image.generation} />
}

interface Props {
  files: OpenFile[]
  /** Absent where the image can't be opened: then there are files only. */
  disk: Disk | null
  file: OpenFile | undefined
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
  useSearchKeys(source)
  const clamp = (to: bigint) => clampOffset(to, size)
  const at = clamp(route.value.at)
  const { start, end } = selection.value
  const selected = { start: clamp(start), end: clamp(end - 1n) + 1n }
  useEffect(() => {
    copyOutcome.value = null
  }, [selected.start, selected.end, key])
  const move = (to: bigint) => go({ at: clamp(to) })

  return (
    <div class="hex">
      <div class="hex-main card">
        <div class="toolbar">
          <SourceChoice files={files} disk={disk} shown={shown} />
          <span class="spacer" />
          <button
            type="button"
            class="button"
            aria-pressed={searches.value}
            title="Search the bytes (Ctrl+F)"
            onClick={() => {
              searches.value = !searches.value
            }}
          >
            <Icon name="search" /> Search
          </button>
          <GoTo end={BigInt(size)} onGo={move} view={view} />
        </div>
        {searches.value && <SearchBar source={source} view={view} />}
        {size === 0 ? (
          <p class="empty">There are no bytes here.</p>
        ) : (
          <>
            <HexView
              key={key}
              focus={view}
              blocks={blocks}
              size={size}
              at={at}
              selection={selected}
              selected={() => clamp(route.peek().at)}
              onMove={move}
              onExtend={(to) => extendTo(clamp(to))}
              onSelectAll={() => selectBetween(BigInt(size) - 1n, 0n)}
              onCopy={(column) => void copy(source, selected, column)}
              edit={!shown && editable.value && saving.value === null}
            />
            <SelectionBar source={source} selection={selected} hashable={hashable(source, shown, size)} />
          </>
        )}
      </div>
      <Inspector blocks={blocks} size={size} at={at} disk={shown ? null : disk} files={files} />
    </div>
  )
}

/** What can be hashed besides the selection: all bytes, and the partitions of a disk. */
function hashable(source: ByteSource, file: OpenFile | undefined, size: number): HashChoice[] {
  const whole: HashChoice = {
    label: file ? `The file ${file.name}` : 'The disk',
    size,
    hashed: { of: 'bytes', source, start: 0n, end: BigInt(size) },
  }
  const partitions = file ? [] : (partitionTable.value?.partitions ?? [])
  const parts = partitions.filter(({ kind, start, length }) => kind !== 'extended' && start + length <= size)
  return [
    whole,
    ...parts.map(({ number, start, length }) => ({
      label: `Partition ${number}`,
      size: length,
      hashed: { of: 'bytes', source, start: BigInt(start), end: BigInt(start) + BigInt(length) } as const,
    })),
  ]
}

/** Ctrl+F opens the search; F3 goes to the next match, with Shift to the one before. */
function useSearchKeys(source: ByteSource): void {
  const now = useRef(source)
  now.current = source
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (document.querySelector('dialog[open]')) return
      const opens = event.key.toLowerCase() === 'f' && (event.ctrlKey || event.metaKey) && !event.altKey
      if (opens) searches.value = true
      else if (event.key === 'F3') void searchOn(now.current, event.shiftKey)
      else return
      event.preventDefault()
      if (opens) document.querySelector<HTMLInputElement>('.byte-search input')?.select()
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [])
}
