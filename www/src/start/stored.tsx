import { useEffect, useState } from 'preact/hooks'
import type { OpfsEntry } from 'qcow2-web'
import { enterStored } from '../state/enter'
import {
  clearCache,
  deleteEntry,
  exportFile,
  importFile,
  keep,
  type Listed,
  lookAtStored,
  renameFile,
  setOpen,
  stored,
  storedProblem,
  storing,
} from '../state/stored'
import { Dialog } from '../ui/dialog'
import { FileButton } from '../ui/file-button'
import { FormActions } from '../ui/form-actions'
import { Icon } from '../ui/icon'
import { Notice } from '../ui/notice'
import { Size } from '../ui/size'
import { formatShare, formatSize } from '../values/size'
import { formatDate } from '../values/time'

/** The images that the browser keeps for this page, and how much room there is. */
export function StoredFiles() {
  const [asked, setAsked] = useState<{ what: Question; entry: OpfsEntry } | null>(null)
  useEffect(() => void lookAtStored(), [])
  const now = stored.value
  if (!now) return null
  const busy = storing.value
  return (
    <section class="stored" aria-labelledby="stored-title">
      <div class="stored-title">
        <h2 id="stored-title">In this browser</h2>
        <FileButton class="small" label="A file to keep in this browser" onFile={(file) => void importFile(file)}>
          <Icon name="plus" /> Import…
        </FileButton>
      </div>
      {now.entries.length === 0 ? (
        <p class="soft">Images that you import, or keep here, stay on this device and open where you left them.</p>
      ) : (
        <div class="wide-table">
          <table class="list stacks">
            <thead>
              <tr>
                <th>Name</th>
                <th class="end">Size</th>
                <th>Changed</th>
                <td />
              </tr>
            </thead>
            <tbody>
              {now.entries.map((listed) => (
                <Row
                  key={listed.entry.path}
                  listed={listed}
                  onAsk={(what) => setAsked({ what, entry: listed.entry })}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {busy && (
        <div class="opening" role="status">
          <span class="spinner" />
          <span>
            {busy.text} {busy.total > 0 && formatShare(busy.done, busy.total)}
          </span>
          <button type="button" class="button" onClick={busy.cancel}>
            Cancel
          </button>
        </div>
      )}
      {storedProblem.value && <Notice tone="bad">{storedProblem.value}</Notice>}
      {now.room && (
        <p class="soft room">
          {formatSize(now.room.usage)} of {formatSize(now.room.quota)} are used.{' '}
          {now.room.persisted ? (
            'The browser keeps the files until you delete them.'
          ) : (
            <>
              The browser may remove them when the disk gets full.{' '}
              <button type="button" class="link" onClick={() => void keep()}>
                Ask it to keep them
              </button>
            </>
          )}
        </p>
      )}
      {now.cached > 0 && (
        <p class="soft room">
          Cache of images from the web: {formatSize(now.cached)}.{' '}
          <button type="button" class="link" onClick={() => void clearCache()}>
            Clear it
          </button>
        </p>
      )}
      {asked?.what === 'rename' && <RenameDialog file={asked.entry} onClose={() => setAsked(null)} />}
      {asked?.what === 'delete' && <DeleteDialog entry={asked.entry} onClose={() => setAsked(null)} />}
    </section>
  )
}

type Question = 'rename' | 'delete'

function Row({ listed, onAsk }: { listed: Listed; onAsk(what: Question): void }) {
  const { entry, depth } = listed
  const isFile = entry.kind === 'file'
  return (
    <tr>
      <th scope="row" style={{ '--depth': depth }}>
        {isFile ? (
          <button type="button" class="link" onClick={() => void enterStored(entry.path)}>
            {entry.name}
          </button>
        ) : (
          <DirectoryButton listed={listed} />
        )}
      </th>
      <td class="end">{isFile && <Size bytes={entry.size} />}</td>
      <td class="changed-at">{entry.modified && formatDate(entry.modified.getTime() / 1000)}</td>
      <td class="end">
        <span class="row-actions">
          {isFile && (
            <>
              <button type="button" class="button small" onClick={() => void exportFile(entry.path)}>
                Export
              </button>
              <button type="button" class="button small" onClick={() => onAsk('rename')}>
                Rename…
              </button>
            </>
          )}
          <button type="button" class="button small" onClick={() => onAsk('delete')}>
            Delete…
          </button>
        </span>
      </td>
    </tr>
  )
}

/** Shows and hides what is in a directory: by a click, Enter and Space, and by the arrows to the right and the left. */
function DirectoryButton({ listed: { entry, open } }: { listed: Listed }) {
  const onKeyDown = ({ key }: KeyboardEvent) => {
    if (key === (open ? 'ArrowLeft' : 'ArrowRight')) void setOpen(entry, !open)
  }
  return (
    <button
      type="button"
      class="directory"
      aria-expanded={open}
      onClick={() => void setOpen(entry, !open)}
      onKeyDown={onKeyDown}
    >
      <Icon name={open ? 'down' : 'right'} />
      {entry.name}
    </button>
  )
}

function RenameDialog({ file, onClose }: { file: OpfsEntry; onClose(): void }) {
  const [name, setName] = useState(file.name)
  const onSubmit = async (event: Event) => {
    event.preventDefault()
    if (name !== file.name) await renameFile(file, name)
    onClose()
  }
  return (
    <Dialog title={`Rename ${file.name}`} onClose={onClose}>
      <form onSubmit={(event) => void onSubmit(event)}>
        <input
          class="field wide"
          aria-label="The new name"
          value={name}
          autofocus
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <FormActions label="Rename" disabled={name === ''} onCancel={onClose} />
      </form>
    </Dialog>
  )
}

function DeleteDialog({ entry, onClose }: { entry: OpfsEntry; onClose(): void }) {
  const onDelete = async () => {
    await deleteEntry(entry)
    onClose()
  }
  const what =
    entry.kind === 'file'
      ? `Its ${formatSize(entry.size)} are in this browser only, unless you exported them.`
      : 'All that is in this directory is in this browser only, unless you exported it.'
  return (
    <Dialog title={`Delete ${entry.name}?`} onClose={onClose}>
      <p>{what}</p>
      <div class="actions">
        <button type="button" class="button primary" onClick={() => void onDelete()}>
          Delete for good
        </button>
        <button type="button" class="button quiet" autofocus onClick={onClose}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
