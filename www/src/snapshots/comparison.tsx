import { go } from '../state/route'
import { comparison } from '../state/snapshots'
import { useLimit } from '../ui/use-limit'
import { formatOffset } from '../values/offset'
import { formatCount, formatSize } from '../values/size'

/** What differs between a snapshot and the disk as it is. */
export function ComparisonCard() {
  const now = comparison.value
  const [shown, more] = useLimit(now?.extents ?? [])
  if (!now) return null
  const places = `${formatCount(now.extents.length)} ${now.extents.length === 1 ? 'place' : 'places'}`
  return (
    <section class="card" aria-labelledby="comparison-title">
      <div class="toolbar">
        <h2 id="comparison-title">Since “{now.snapshot.name}”</h2>
        <span class="spacer" />
        <button type="button" class="button small" onClick={() => (comparison.value = null)}>
          Close
        </button>
      </div>
      {now.extents.length === 0 ? (
        <p class="soft">Nothing was changed: the disk is what the snapshot keeps.</p>
      ) : (
        <p>
          {formatSize(now.bytes)} may have changed, in {places}. Clusters that both share are the same; the others were
          written, with what may be the same bytes.
        </p>
      )}
      <ul class="plan">
        {shown.map(({ start, length }) => (
          <li key={start}>
            <button
              type="button"
              class="link mono"
              onClick={() => go({ panel: 'hex', of: 'disk', at: BigInt(start) }, 'push')}
            >
              {formatOffset(BigInt(start))}
            </button>{' '}
            <span class="soft">{formatSize(length)}</span>
          </li>
        ))}
      </ul>
      {more}
    </section>
  )
}
