import { isRunning, type Work } from '../state/work'
import { formatCount, formatShare } from '../values/size'
import { Notice } from './notice'

/** How far something long has come, with a way to give it up; or what came of it. */
export function WorkShown({ work }: { work: Work | null }) {
  if (!work) return null
  if ('problem' in work) return <Notice tone="bad">{work.problem}</Notice>
  if (!isRunning(work)) return <Notice tone="info">{work.outcome}</Notice>
  const { what, progress, cancel } = work
  return (
    <div class="progress" role="status">
      <progress value={progress?.total ? progress.done : undefined} max={progress?.total || 1} aria-label={what} />{' '}
      {what}…{' '}
      {progress && (progress.total > 0 ? formatShare(progress.done, progress.total) : formatCount(progress.done))}
      <button type="button" class="button small" onClick={cancel}>
        Cancel
      </button>
    </div>
  )
}
