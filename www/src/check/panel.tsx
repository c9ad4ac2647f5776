import type { CheckReport, Finding } from 'qcow2-web'
import { busy } from '../state/busy'
import { asked, type Checked, checked, checking, startCheck } from '../state/check'
import { go } from '../state/route'
import { isRunning } from '../state/work'
import { Notice } from '../ui/notice'
import { useLimit } from '../ui/use-limit'
import { WorkShown } from '../ui/work'
import { formatOffset } from '../values/offset'
import { formatCount, formatShare } from '../values/size'
import { PlanDialog } from './plan'

/** Checks the image, and repairs it. */
export function CheckPanel({ repairable, before }: { repairable: boolean; before?: () => void }) {
  const running = isRunning(checking.value)
  const now = checked.value
  return (
    <section class="card check" aria-labelledby="check-title">
      <div class="toolbar">
        <h2 id="check-title">Check</h2>
        <span class="spacer" />
        <button
          type="button"
          class={now ? 'button' : 'button primary'}
          disabled={busy.value}
          onClick={() => void startCheck()}
        >
          Check the image
        </button>
      </div>
      <WorkShown work={checking.value} />
      {now && !running && <Found now={now} repairable={repairable} onGo={before} />}
      {!now && !running && <p class="soft">{WHAT}</p>}
      <PlanDialog />
    </section>
  )
}

const WHAT =
  'Counts every reference to every cluster and compares it with what the image records, as qemu-img check does. It only reads.'

function Found({ now, repairable, onGo }: { now: Checked; repairable: boolean; onGo: (() => void) | undefined }) {
  const { report, repaired, kept } = now
  return (
    <>
      {repaired && (
        <Notice tone="info">
          Repaired: {formatCount(repaired.before.leaks + repaired.before.corruptions + repaired.before.checkErrors)}{' '}
          findings before, {formatCount(report.leaks + report.corruptions + report.checkErrors)} now.
          {!kept && ' Save the image to keep that.'}
        </Notice>
      )}
      <Verdict report={report} />
      {repairable && <Repairs report={report} />}
      <Numbers report={report} />
      <Findings findings={report.findings} unlisted={report.unlisted} onGo={onGo} />
    </>
  )
}

function Verdict({ report }: { report: CheckReport }) {
  switch (report.verdict) {
    case 'clean':
      return <Notice tone="good">No errors were found: the image is sound.</Notice>
    case 'leaks':
      return (
        <Notice tone="warn">
          {formatCount(report.leaks)} {report.leaks === 1 ? 'cluster is' : 'clusters are'} lost space. Nothing else is
          wrong, and no data is in danger.
        </Notice>
      )
    case 'corrupt':
      return (
        <Notice tone="bad">
          <strong>
            {formatCount(report.corruptions)} {report.corruptions === 1 ? 'error was' : 'errors were'} found.
          </strong>{' '}
          Data may be lost already, or be lost when the image is written.
          {report.leaks > 0 && ` ${formatCount(report.leaks)} clusters are lost space besides.`}
        </Notice>
      )
    default:
      return (
        <Notice tone="bad">
          <strong>Not everything could be checked.</strong> {formatCount(report.checkErrors)} parts of the image can’t
          be read; what is said below may be too little.
        </Notice>
      )
  }
}

function Repairs({ report }: { report: CheckReport }) {
  if (report.verdict === 'clean' && !report.markedCorrupt && !report.dirty) return null
  return (
    <div class="actions">
      {report.leaks > 0 && report.corruptions + report.checkErrors > 0 && (
        <button
          type="button"
          class="button"
          disabled={busy.value}
          onClick={() => (asked.value = { repair: 'leaks', report })}
        >
          Free lost space…
        </button>
      )}
      <button
        type="button"
        class="button primary"
        disabled={busy.value}
        onClick={() => (asked.value = { repair: 'all', report })}
      >
        {report.verdict === 'leaks' ? 'Free lost space…' : 'Repair…'}
      </button>
    </div>
  )
}

function Numbers({ report }: { report: CheckReport }) {
  const { totalClusters, allocatedClusters, fragmentedClusters, compressedClusters, imageEndOffset } = report
  const rows: [string, string][] = [
    ['Allocated', `${formatCount(allocatedClusters)} of ${formatCount(totalClusters)} clusters`],
    ['Fragmented', `${formatCount(fragmentedClusters)} (${formatShare(fragmentedClusters, allocatedClusters)})`],
    ['Compressed', `${formatCount(compressedClusters)} (${formatShare(compressedClusters, allocatedClusters)})`],
    ['Used up to', formatOffset(BigInt(imageEndOffset))],
  ]
  return (
    <dl class="position check-numbers">
      {rows.map(([name, value]) => (
        <>
          <dt key={`${name} name`}>{name}</dt>
          <dd key={name} data-number={name}>
            {value}
          </dd>
        </>
      ))}
    </dl>
  )
}

const SEVERITIES = { leak: 'Lost space', corruption: 'Error', error: 'Not checked' } as const

function Findings({
  findings,
  unlisted,
  onGo,
}: {
  findings: readonly Finding[]
  unlisted: number
  onGo: (() => void) | undefined
}) {
  const [shown, more] = useLimit(findings)
  if (findings.length === 0) return null
  const lead = (offset: number) => {
    go({ panel: 'hex', of: 'image', at: BigInt(offset) }, 'push')
    onGo?.()
  }
  return (
    <div class="wide-table">
      <table class="list stacks">
        <caption class="visually-hidden">What was found</caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">What</th>
            <th scope="col" class="end">
              Where
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((finding, index) => (
            <tr key={index} data-code={finding.code}>
              <td class={finding.severity === 'leak' ? 'soft' : 'bad-text'}>{SEVERITIES[finding.severity]}</td>
              <td>{finding.message}</td>
              <td class="end">
                <button
                  type="button"
                  class="link mono"
                  title="The bytes of the file there"
                  onClick={() => lead(finding.offset)}
                >
                  {formatOffset(BigInt(finding.offset))}
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {more}
      {unlisted > 0 && <p class="soft">And {formatCount(unlisted)} more.</p>}
    </div>
  )
}
