import { leaving } from '../state/enter'
import { download, save } from '../state/save'
import { opened } from '../state/stage'
import { Dialog } from '../ui/dialog'

/** Asks before changes are lost. */
export function LeaveDialog() {
  const question = leaving.value
  if (!question) return null
  const first = async (store: () => Promise<boolean>) => {
    if (await store()) question.answer(true)
  }
  return (
    <Dialog title="Save the changes?" onClose={() => question.answer(false)}>
      <p>
        <b>{opened.value?.name}</b> was changed, and its changes are in this page only.
      </p>
      <div class="actions">
        <button type="button" class="button primary" autofocus onClick={() => void first(save)}>
          Save
        </button>
        <button type="button" class="button" onClick={() => void first(download)}>
          Download
        </button>
        <button type="button" class="button" onClick={() => question.answer(true)}>
          Discard the changes
        </button>
        <button type="button" class="button quiet" onClick={() => question.answer(false)}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
