import { useState } from 'preact/hooks'
import type { FileEntry, FilePath } from 'qcow2-web/files'
import type { VolumeAt } from '../engine/protocol'
import { askedOfFiles, changingFiles, createFolder, deleteFiles, type FilesQuestion } from '../state/change-files'
import { saving } from '../state/save'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { FileButton } from '../ui/file-button'
import { FormActions } from '../ui/form-actions'
import { Icon } from '../ui/icon'
import { TextField } from '../ui/text-field'
import { formatCount } from '../values/size'

/** How many names a question lists. */
const MOST_NAMED = 8

interface Props {
  at: VolumeAt
  directory: FilePath
  chosen: FileEntry[]
  onAdd(files: File[]): void
  /** An entry was created: it is to be selected. */
  onCreated(name: string): void
}

/** False while the files are being changed, or the image is saved. */
export const mayChange = (): boolean => !isRunning(changingFiles.value) && saving.value === null

/** The buttons that change the files of a volume. */
export function ChangeButtons({ at, directory, chosen, onAdd, onCreated }: Props) {
  const disabled = !mayChange()
  return (
    <div class="change-buttons" role="group" aria-label="Change the files">
      <FileButton label="Files to add" multiple disabled={disabled} onFiles={onAdd}>
        <Icon name="plus" /> Add files…
      </FileButton>
      <button
        type="button"
        class="button"
        disabled={disabled}
        onClick={() => {
          askedOfFiles.value = { kind: 'folder', at, directory }
        }}
      >
        <Icon name="folder" /> New folder…
      </button>
      <button
        type="button"
        class="button"
        disabled={disabled || chosen.length === 0}
        onClick={() => askToDelete(at, chosen)}
      >
        <Icon name="minus" /> Delete…
      </button>
      {askedOfFiles.value && <FilesDialog question={askedOfFiles.value} onCreated={onCreated} />}
    </div>
  )
}

/** Asks before entries are deleted. */
export function askToDelete(at: VolumeAt, entries: FileEntry[]): void {
  if (entries.length > 0 && mayChange()) askedOfFiles.value = { kind: 'delete', at, entries }
}

function FilesDialog({ question, onCreated }: { question: FilesQuestion; onCreated(name: string): void }) {
  const close = () => {
    askedOfFiles.value = null
  }
  switch (question.kind) {
    case 'folder':
      return <FolderDialog question={question} onCreated={onCreated} onClose={close} />
    case 'delete': {
      const { at, entries } = question
      const onSubmit = (event: Event) => {
        event.preventDefault()
        close()
        void deleteFiles(at, entries)
      }
      const hasFolder = entries.some(({ kind }) => kind === 'directory')
      return (
        <Dialog title={`Delete ${counted(entries.map(({ name }) => name))}?`} onClose={close}>
          <form onSubmit={onSubmit}>
            {entries.length > 1 && <Names names={entries.map(({ name }) => name)} />}
            <p>{hasFolder && 'Folders are deleted with all that is in them. '}Undo brings back what was deleted.</p>
            <FormActions label="Delete" autofocus onCancel={close} />
          </form>
        </Dialog>
      )
    }
    case 'replace': {
      const { names, answer } = question
      const onSubmit = (event: Event) => {
        event.preventDefault()
        answer(true)
      }
      return (
        <Dialog title={`Replace ${counted(names)}?`} onClose={() => answer(false)}>
          <form onSubmit={onSubmit}>
            {names.length > 1 && <Names names={names} />}
            <p>The folder has {names.length === 1 ? 'a file of this name' : 'files of these names'} already.</p>
            <FormActions label="Replace" autofocus onCancel={() => answer(false)} />
          </form>
        </Dialog>
      )
    }
  }
}

interface FolderProps {
  question: Extract<FilesQuestion, { kind: 'folder' }>
  onCreated(name: string): void
  onClose(): void
}

function FolderDialog({ question, onCreated, onClose }: FolderProps) {
  const [name, setName] = useState('')
  const trimmed = name.trim()
  const onSubmit = async (event: Event) => {
    event.preventDefault()
    onClose()
    if (await createFolder(question.at, question.directory, trimmed)) onCreated(trimmed)
  }
  return (
    <Dialog title="New folder" onClose={onClose}>
      <form onSubmit={(event) => void onSubmit(event)}>
        <div class="new-image">
          <TextField id="folder-name" label="Name" value={name} autofocus onChange={setName} />
        </div>
        <FormActions label="Create" disabled={trimmed === ''} onCancel={onClose} />
      </form>
    </Dialog>
  )
}

function Names({ names }: { names: readonly string[] }) {
  const more = names.length - MOST_NAMED
  return (
    <ul class="names">
      {names.slice(0, MOST_NAMED).map((name) => (
        <li key={name}>
          <bdi>{name}</bdi>
        </li>
      ))}
      {more > 0 && <li>and {formatCount(more)} more</li>}
    </ul>
  )
}

const counted = (names: readonly string[]): string =>
  names.length === 1 ? `“${names[0]}”` : `${formatCount(names.length)} entries`
