import { type Disk, KINDS, type Survey } from '../engine/protocol'
import { overview } from '../state/survey'
import { KIND_MEANINGS, KIND_NAMES } from '../ui/kinds'
import { Size } from '../ui/size'
import { SurveyProgress } from '../ui/survey-progress'
import { formatShare } from '../values/size'

/** How much of the disk is stored, and how. */
export function Usage({ disk }: { disk: Disk }) {
  const state = overview.value
  const survey = state?.survey ?? null
  const totals = survey ? totalsOf(survey) : null
  const rows = KINDS.map((kind, index) => ({ kind, bytes: totals?.[index] ?? 0 })).filter(
    ({ kind, bytes }) => bytes > 0 || (!kind.startsWith('backing') && kind !== 'compressed' && kind !== 'zero'),
  )
  const order = [...rows].sort((a, b) => rank(a.kind) - rank(b.kind))
  return (
    <section class="card" aria-labelledby="usage-title">
      <h2 id="usage-title">Use of the disk</h2>
      <div class="usage-bar" aria-hidden="true">
        {order.map(({ kind, bytes }) => (
          <span key={kind} class={`swatch ${kind}`} style={{ flexGrow: bytes, minWidth: bytes > 0 ? '2px' : '0' }} />
        ))}
      </div>
      <table class="list usage">
        <caption class="visually-hidden">Bytes of the disk by how they are stored</caption>
        <tbody>
          {order.map(({ kind, bytes }) => (
            <tr key={kind} data-kind={kind} title={KIND_MEANINGS[kind]}>
              <th scope="row">
                <span class={`swatch ${kind}`} /> {KIND_NAMES[kind]}
              </th>
              <td class="end">{totals ? <Size bytes={bytes} /> : '…'}</td>
              <td class="end soft">{totals ? formatShare(bytes, disk.size) : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {state && state.state !== 'done' && <SurveyProgress state={state} />}
    </section>
  )
}

const rank = (kind: string) => (kind === 'unallocated' ? 9 : kind === 'zero' ? 8 : 0)

function totalsOf(survey: Survey): number[] {
  const totals = KINDS.map(() => 0)
  for (const [slot, bytes] of survey.bytes.entries()) {
    const kind = slot % KINDS.length
    totals[kind] = (totals[kind] ?? 0) + bytes
  }
  return totals
}
