import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { FileEntry, FilePath, VolumeInfo } from 'qcow2-web/files'
import { Locked } from '../edit/locked'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Disk, VolumeAt } from '../engine/protocol'
import { addFiles, changingFiles } from '../state/change-files'
import { editable, undo } from '../state/edit'
import { extractFile, extracting, extractZip } from '../state/extract'
import { go, route } from '../state/route'
import { opened } from '../state/stage'
import { isRunning } from '../state/work'
import { Icon } from '../ui/icon'
import { Notice } from '../ui/notice'
import { WorkShown } from '../ui/work'
import { formatCount, formatSize } from '../values/size'
import { Breadcrumb } from './breadcrumb'
import { askToDelete, ChangeButtons, mayChange } from './changes'
import { FileGrid } from './grid'
import { asDirectory, directoryOf, fileNameOf, nextName, parentOf, samePath, textOf, trail } from './path'
import { Preview } from './preview'
import { Search } from './search'
import { NOTHING, type Selection } from './selection'
import { type Order, sorted, toggled } from './sort'
import { useDragOut } from './use-drag-out'
import { useDropIn } from './use-drop-in'
import { type Entries, useEntries } from './use-entries'
import { sentence, takesChanges, volumeName } from './words'

interface Props {
  volume: VolumeInfo
  /** The name of the file that has the disk. */
  name: string
  disk: Disk
}

/** The files of one volume: a directory and its selection. */
export function Browser({ volume, name, disk }: Props) {
  const at: VolumeAt = { snapshot: disk.snapshot, volume: volume.id }
  const directory = directoryOf(route.value.path)
  const [pattern, setPattern] = useState('')
  const entries = useEntries(at, directory, pattern, disk)
  const [order, setOrder] = useState<Order>({ by: 'name', descending: false })
  const rows = useMemo(() => sorted(entries.found, order), [entries.found, order])
  const [selection, setSelection] = useState(NOTHING)
  const [problem, setProblem] = useState<string | null>(null)
  const grid = useRef<HTMLDivElement>(null)
  const preview = useRef<HTMLElement>(null)
  const drag = useDragOut(at)

  const show = (next: Selection) => {
    setSelection(next)
    if (pattern) return
    // The address leads to the one file that is looked at.
    const [only] = next.chosen
    go({ path: only && next.chosen.size === 1 && only.kind !== 'directory' ? only.path : directory })
  }

  const wanted = useRef<string | null>(null)
  const before = useRef<FilePath>(directory)
  useLayoutEffect(() => {
    // After going up, the directory that was left is selected.
    wanted.current = fileNameOf(route.peek().path) ?? nextName(directory, before.current)
    before.current = directory
    setPattern('')
    setProblem(null)
  }, [textOf(directory)])
  useLayoutEffect(() => setSelection(NOTHING), [textOf(directory), pattern, disk])
  useEffect(() => {
    const last = wanted.current
    if (last === null || pattern) return
    const found = rows.find((entry) => entry.name === last)
    if (found) {
      wanted.current = null
      setSelection({ cursor: found, anchor: found, chosen: new Set([found]) })
      // The address may have had a directory without its slash.
      if (found.kind === 'directory' && fileNameOf(route.peek().path) === last) go({ path: asDirectory(found.path) })
    } else if (entries.done && fileNameOf(route.peek().path) === last) {
      wanted.current = null
      if (!entries.problem) setProblem(`There is no file ${textOf(route.peek().path)} here.`)
    }
  }, [rows, entries.done])

  const goTo = (path: FilePath) => {
    setPattern('')
    go({ path }, 'push')
    grid.current?.focus()
  }
  const open = async (entry: FileEntry) => {
    setProblem(null)
    if (entry.kind === 'directory') return goTo(asDirectory(entry.path))
    if (entry.kind !== 'link') return preview.current?.focus()
    try {
      const { kind } = await engine.statFile(at, entry.path)
      if (kind === 'directory') goTo(asDirectory(entry.path))
      else preview.current?.focus()
    } catch (error) {
      setProblem(`${entry.name} leads nowhere: ${messageOf(error)}`)
    }
  }
  const up = () => {
    if (pattern) setPattern('')
    else if (!samePath(parentOf(directory), directory)) goTo(parentOf(directory))
  }

  const image = opened.value
  const canChange = volume.writable && editable.value
  const mayUnlock = disk.snapshot === null && takesChanges(volume) && !editable.value ? image : null
  const select = (name: string) => {
    wanted.current = name
  }
  const add = async (files: File[], folders: string[] = []) => {
    if (!mayChange()) return
    const last = await addFiles(at, directory, files, folders)
    if (last !== null) select(last)
  }
  const drop = useDropIn((files, folders) => void add(files, folders))
  const [only] = selection.chosen
  const root = volumeName(volume)
  const archive = trail(directory).at(-1)?.name || volume.label || name.replace(/\.[^.]*$/, '')
  return (
    <div class="browser card">
      {volume.problem && <Notice tone="warn">{sentence(volume.problem)}</Notice>}
      <div class="toolbar">
        <Breadcrumb root={root} directory={directory} onGo={goTo} />
        <Search key={textOf(directory)} pattern={pattern} onSearch={setPattern} />
        {canChange && (
          <ChangeButtons
            at={at}
            directory={directory}
            chosen={[...selection.chosen]}
            onAdd={(files) => void add(files)}
            onCreated={select}
          />
        )}
        <ExtractButton at={at} chosen={[...selection.chosen]} directory={directory} name={archive} />
      </div>
      {mayUnlock && <Locked image={mayUnlock}>You can add, replace and delete the files of this volume.</Locked>}
      <WorkShown work={changingFiles.value} />
      <WorkShown work={extracting.value} />
      {problem && <Notice tone="bad">{problem}</Notice>}
      {entries.problem && (
        <Notice tone="bad">
          {entries.found.length > 0 ? 'The rest could not be read' : 'The files could not be read'}: {entries.problem}
        </Notice>
      )}
      <div class="browser-columns">
        <div class="browser-list">
          <FileGrid
            focus={grid}
            label={pattern ? `Files found by “${pattern}”` : `Files in ${textOf(directory)}`}
            rows={rows}
            order={order}
            selection={selection}
            withDirectory={pattern !== ''}
            drag={drag}
            onOrder={(by) => setOrder(toggled(order, by))}
            onSelect={show}
            onOpen={(entry) => void open(entry)}
            onUp={up}
            drop={canChange ? drop : undefined}
            onDelete={canChange ? () => askToDelete(at, [...selection.chosen]) : undefined}
            onUndo={canChange ? undoLast : undefined}
          />
          <p class="status soft" role="status">
            {statusWords(entries, pattern, selection)}
          </p>
        </div>
        {only && selection.chosen.size === 1 && (
          <Preview
            key={`${volume.id} ${textOf(only.path)}`}
            focus={preview}
            at={at}
            entry={only}
            onOpen={() => void open(only)}
            {...(pattern && { onReveal: () => goTo(only.path) })}
          />
        )}
      </div>
    </div>
  )
}

function undoLast(): void {
  const at = undo()
  if (at !== null) go({ panel: 'hex', of: 'disk', at })
}

interface ExtractProps {
  at: VolumeAt
  chosen: FileEntry[]
  directory: FilePath
  /** What an archive of the directory is called. */
  name: string
}

function ExtractButton({ at, chosen, directory, name }: ExtractProps) {
  const [only] = chosen
  const isFile = chosen.length === 1 && only !== undefined && only.kind !== 'directory'
  const extract = () => {
    if (isFile) return extractFile(at, only)
    if (chosen.length === 0) return extractZip(at, [directory], name)
    const paths = chosen.map(({ path }) => path)
    return extractZip(at, paths, chosen.length === 1 && only ? only.name : name)
  }
  return (
    <button
      type="button"
      class="button"
      disabled={isRunning(extracting.value) || (isFile && only.kind === 'other')}
      onClick={() => void extract()}
    >
      <Icon name="download" /> {isFile ? 'Extract' : chosen.length > 0 ? 'Extract as zip' : 'Extract all as zip'}
    </button>
  )
}

function statusWords({ found, done, unreadable }: Entries, pattern: string, { chosen }: Selection): string {
  const count = `${formatCount(found.length)} ${pattern ? 'found' : found.length === 1 ? 'entry' : 'entries'}`
  const unread = unreadable > 0 ? `, ${formatCount(unreadable)} folders could not be read` : ''
  const size = [...chosen].reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.size : 0), 0)
  const selected = chosen.size > 1 ? `; ${formatCount(chosen.size)} selected, ${formatSize(size)} in files` : ''
  return `${done ? '' : pattern ? 'Searching… ' : 'Reading… '}${count}${unread}${selected}`
}
