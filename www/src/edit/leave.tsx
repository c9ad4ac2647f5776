import { unsaved } from '../state/edit'
import { leaving } from '../state/leave'
import { download, save, saved } from '../state/save'
import { inPlace, opened } from '../state/stage'
import { Dialog } from '../ui/dialog'

/** Asks before changes are lost. */
export function LeaveDialog() {
  const question = leaving.value
  if (!question) return null
  const stay = () => question.answer(false)
  const first = async (store: () => Promise<boolean>) => {
    if ((await store()) && !unsaved.peek()) question.answer(true)
  }
  return (
    <Dialog title={inPlace.value ? 'Leave without the last changes?' : 'Save the changes?'} onClose={stay}>
      {inPlace.value ? (
        <p>
          {saved.value?.text} What was saved in <b>{opened.value?.name}</b> before stays.
        </p>
      ) : (
        <p>
          <b>{opened.value?.name}</b> was changed, and its changes are in this page only.
        </p>
      )}
      <div class="actions">
        <button type="button" class="button primary" autofocus onClick={() => void first(save)}>
          {inPlace.value ? 'Try again' : 'Save'}
        </button>
        {!inPlace.value && (
          <button type="button" class="button" onClick={() => void first(download)}>
            Download
          </button>
        )}
        <button type="button" class="button" onClick={() => question.answer(true)}>
          {inPlace.value ? 'Leave without them' : 'Discard the changes'}
        </button>
        <button type="button" class="button quiet" onClick={stay}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
