import { useEffect, useState } from 'preact/hooks'
import type { OpfsEntry } from 'qcow2-web'
import { enterStored } from '../state/enter'
import {
  deleteFile,
  exportFile,
  importFile,
  keep,
  lookAtStored,
  renameFile,
  stored,
  storedProblem,
  storing,
} from '../state/stored'
import { Dialog } from '../ui/dialog'
import { FileButton } from '../ui/file-button'
import { Icon } from '../ui/icon'
import { Notice } from '../ui/notice'
import { Size } from '../ui/size'
import { formatShare, formatSize } from '../values/size'

/** The images that the browser keeps for this page, and how much room there is. */
export function StoredFiles() {
  const [asked, setAsked] = useState<{ what: 'rename' | 'delete'; file: OpfsEntry } | null>(null)
  useEffect(() => void lookAtStored(), [])
  const now = stored.value
  if (!now) return null
  const busy = storing.value
  return (
    <section class="stored" aria-labelledby="stored-title">
      <div class="stored-head">
        <h2 id="stored-title">In this browser</h2>
        <FileButton class="small" label="A file to keep in this browser" onFile={(file) => void importFile(file)}>
          <Icon name="plus" /> Import…
        </FileButton>
      </div>
      {now.files.length === 0 ? (
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
              {now.files.map((file) => (
                <Row key={file.name} file={file} onAsk={(what) => setAsked({ what, file })} />
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
      {asked?.what === 'rename' && <RenameDialog file={asked.file} onClose={() => setAsked(null)} />}
      {asked?.what === 'delete' && <DeleteDialog file={asked.file} onClose={() => setAsked(null)} />}
    </section>
  )
}

function Row({ file, onAsk }: { file: OpfsEntry; onAsk(what: 'rename' | 'delete'): void }) {
  return (
    <tr>
      <th scope="row">
        <button type="button" class="link" onClick={() => void enterStored(file.name)}>
          {file.name}
        </button>
      </th>
      <td class="end">
        <Size bytes={file.size} />
      </td>
      <td>{file.modified?.toLocaleString()}</td>
      <td class="end">
        <span class="row-actions">
          <button type="button" class="button small" onClick={() => void exportFile(file.name)}>
            Export
          </button>
          <button type="button" class="button small" onClick={() => onAsk('rename')}>
            Rename…
          </button>
          <button type="button" class="button small" onClick={() => onAsk('delete')}>
            Delete…
          </button>
        </span>
      </td>
    </tr>
  )
}

interface Asked {
  file: OpfsEntry
  onClose(): void
}

function RenameDialog({ file, onClose }: Asked) {
  const [name, setName] = useState(file.name)
  const onSubmit = async (event: Event) => {
    event.preventDefault()
    if (name !== file.name) await renameFile(file.name, name)
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
        <div class="actions">
          <button type="submit" class="button primary" disabled={name === ''}>
            Rename
          </button>
          <button type="button" class="button quiet" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function DeleteDialog({ file, onClose }: Asked) {
  const onDelete = async () => {
    await deleteFile(file.name)
    onClose()
  }
  return (
    <Dialog title={`Delete ${file.name}?`} onClose={onClose}>
      <p>Its {formatSize(file.size)} are in this browser only, unless you exported them.</p>
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
