import { useState } from 'preact/hooks'
import { WhereChoice } from '../edit/where'
import { asked, repairNow } from '../state/check'
import { inPlace, opened, storedPath } from '../state/stage'
import { Dialog } from '../ui/dialog'
import { ProblemText } from '../ui/problem-text'
import { formatCount } from '../values/size'

/** Explains what a repair would do, before it does it. */
export function PlanDialog() {
  const [inFile, setInFile] = useState(true)
  const now = asked.value
  if (!now) return null
  const { repair, report } = now
  const { leaks, corruptions, checkErrors, lossy } = report
  const asksWhere = storedPath.value !== null && !opened.value?.editing
  const begin = (acceptLoss: boolean) => void repairNow(repair, acceptLoss, asksWhere && inFile)
  const cancel = () => {
    asked.value = null
  }
  return (
    <Dialog title={repair === 'leaks' ? 'Free lost space?' : 'Repair the image?'} onClose={cancel}>
      <ul class="plan">
        {leaks > 0 && <li>{formatCount(leaks)} clusters that nothing uses become free.</li>}
        {repair === 'all' && corruptions + checkErrors - lossy > 0 && (
          <li>Refcounts, flags and tables are repaired. What can be read stays as it is.</li>
        )}
        {repair === 'all' && (report.dirty || report.markedCorrupt) && (
          <li>The mark as {report.markedCorrupt ? 'corrupt' : 'not closed'} is cleared.</li>
        )}
      </ul>
      {repair === 'all' && lossy > 0 ? (
        <ProblemText>
          {formatCount(lossy)} {lossy === 1 ? 'finding' : 'findings'} can be repaired only with a loss: clusters whose
          offset is unknown become zeros, snapshots without tables are dropped. None of that can be read now. Keep a
          copy of the file as it is.
        </ProblemText>
      ) : (
        <p>Nothing that can be read is lost by it.</p>
      )}
      {asksWhere ? (
        <WhereChoice inFile={inFile} onChoose={setInFile} />
      ) : (
        <p>{inPlace.value ? 'It is done in the stored file.' : 'The file itself stays as it is until you save.'}</p>
      )}
      <div class="actions">
        <button type="button" class="button primary" autofocus onClick={() => begin(false)}>
          {lossy > 0 && repair === 'all' ? 'Repair without loss' : 'Repair'}
        </button>
        {lossy > 0 && repair === 'all' && (
          <button type="button" class="button" onClick={() => begin(true)}>
            Repair all
          </button>
        )}
        <button type="button" class="button quiet" onClick={cancel}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
