import type { Snapshot } from 'qcow2-web'
import { go } from '../state/route'
import {
  type Comparison,
  compare,
  compareFiles,
  comparison,
  endComparison,
  fileWork,
  nameOf,
  snapshotWork,
} from '../state/snapshots'
import { isRunning } from '../state/work'
import { useLimit } from '../ui/use-limit'
import { WorkShown } from '../ui/work'
import { formatOffset } from '../values/offset'
import { formatCount, formatSize } from '../values/size'
import { ChangedFiles } from './changed-files'

/** The differences between a snapshot and another one, or the active disk. */
export function ComparisonCard({ snapshots }: { snapshots: readonly Snapshot[] }) {
  const now = comparison.value
  if (!now) return null
  const { from, to, extents } = now
  const others = snapshots.filter(({ id }) => id !== from.id)
  const choose = (id: string) => void compare(from, others.find((snapshot) => snapshot.id === id) ?? null)
  return (
    <section class="card comparison" aria-labelledby="comparison-title">
      <div class="toolbar">
        <h2 id="comparison-title">Since “{nameOf(from)}”</h2>
        <label>
          up to{' '}
          <select
            class="field small"
            value={to?.id ?? ''}
            disabled={isRunning(snapshotWork.value)}
            onChange={(event) => choose(event.currentTarget.value)}
          >
            <option value="">the disk as it is now</option>
            {others.map((snapshot) => (
              <option key={snapshot.id} value={snapshot.id}>
                {nameOf(snapshot)}
              </option>
            ))}
          </select>
        </label>
        <span class="spacer" />
        <button type="button" class="button small" onClick={endComparison}>
          Close
        </button>
      </div>
      {extents.length === 0 ? (
        <p class="soft">Nothing was changed: the two are the same disk.</p>
      ) : (
        <>
          <WorkShown work={fileWork.value} />
          {now.summary === null && !isRunning(fileWork.value) && (
            <p>
              <button type="button" class="button small" onClick={() => void compareFiles()}>
                Compare the files
              </button>
            </p>
          )}
          <ChangedFiles comparison={now} />
          <ChangedRanges comparison={now} />
        </>
      )}
    </section>
  )
}

/** Where the disks differ, below their file systems. */
function ChangedRanges({ comparison: { extents, bytes, to } }: { comparison: Comparison }) {
  const [shown, more] = useLimit(extents)
  const count = `${formatCount(extents.length)} ${extents.length === 1 ? 'range' : 'ranges'}`
  return (
    <details>
      <summary>
        {formatSize(bytes)} of the disk may differ, in {count}
      </summary>
      <p class="soft">
        Clusters that both share are the same. The others were written, possibly with the bytes that they had.
      </p>
      <ul class="plan">
        {shown.map(({ start, length }) => (
          <li key={start}>
            <button
              type="button"
              class="link mono"
              onClick={() => go({ panel: 'hex', of: 'disk', at: BigInt(start), snapshot: to?.id ?? null }, 'push')}
            >
              {formatOffset(BigInt(start))}
            </button>{' '}
            <span class="soft">{formatSize(length)}</span>
          </li>
        ))}
      </ul>
      {more}
    </details>
  )
}
