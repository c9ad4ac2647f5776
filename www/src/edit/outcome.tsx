import { editProblem, unlocking } from '../state/edit'
import { saved, saving } from '../state/save'
import { asksToUnlock } from '../state/unlock'
import { Notice } from '../ui/notice'
import { WorkShown } from '../ui/work'
import { formatShare } from '../values/size'

/** What is being saved, what was, and what went wrong. */
export function EditOutcome() {
  const now = saving.value
  const dismiss = (
    <button type="button" class="button small quiet" onClick={() => (saved.value = null)}>
      Dismiss
    </button>
  )
  return (
    <>
      {now && (
        <div class="opening" role="status">
          <span class="spinner" />
          <span>Saving… {now.total > 0 && formatShare(now.done, now.total)}</span>
          <button type="button" class="button" onClick={now.cancel}>
            Cancel
          </button>
        </div>
      )}
      {!asksToUnlock.value && <WorkShown work={unlocking.value} />}
      {saved.value && (
        <Notice tone={saved.value.tone} action={dismiss}>
          {saved.value.text}
        </Notice>
      )}
      {editProblem.value && <Notice tone="bad">{editProblem.value}</Notice>}
    </>
  )
}
