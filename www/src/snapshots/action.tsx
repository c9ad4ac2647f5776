import { useState } from 'preact/hooks'
import { applySnapshot, deleteSnapshot, renameSnapshot, type SnapshotAction } from '../state/snapshots'
import { Dialog } from '../ui/dialog'
import { FormActions } from '../ui/form-actions'
import { formatDate } from '../values/time'

/** Asks before a snapshot is applied, deleted or renamed. */
export function ActionDialog({ action, onClose }: { action: SnapshotAction; onClose(): void }) {
  const { snapshot } = action
  const [name, setName] = useState(snapshot.name)
  const act = (run: () => Promise<boolean>) => (event: Event) => {
    event.preventDefault()
    onClose()
    void run()
  }
  const cancel = (
    <button type="button" class="button quiet" onClick={onClose}>
      Cancel
    </button>
  )
  switch (action.kind) {
    case 'apply':
      return (
        <Dialog title={`Go back to “${snapshot.name}”?`} onClose={onClose}>
          <p>
            The disk becomes what it was on {formatDate(snapshot.dateSec)}. What was written to it since then is given
            up, unless another snapshot keeps it: take one first if you may want it again.
          </p>
          <div class="actions">
            <button type="button" class="button primary" autofocus onClick={act(() => applySnapshot(snapshot))}>
              Go back
            </button>
            {cancel}
          </div>
        </Dialog>
      )
    case 'delete':
      return (
        <Dialog title={`Delete “${snapshot.name}”?`} onClose={onClose}>
          <p>The disk stays as it is. The state that this snapshot keeps is lost.</p>
          <div class="actions">
            <button type="button" class="button primary" autofocus onClick={act(() => deleteSnapshot(snapshot))}>
              Delete
            </button>
            {cancel}
          </div>
        </Dialog>
      )
    case 'rename':
      return (
        <Dialog title={`Rename “${snapshot.name}”`} onClose={onClose}>
          <form onSubmit={act(() => renameSnapshot(snapshot, name.trim()))}>
            <div class="new-image">
              <label for="snapshot-new-name">Name</label>
              <input
                id="snapshot-new-name"
                class="field"
                value={name}
                maxLength={255}
                autofocus
                autocomplete="off"
                required
                onInput={(event) => setName(event.currentTarget.value)}
              />
            </div>
            <FormActions label="Rename" onCancel={onClose} />
          </form>
        </Dialog>
      )
  }
}
