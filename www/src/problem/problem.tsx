import { useEffect } from 'preact/hooks'
import { CheckPanel } from '../check/panel'
import type { OpenFile } from '../engine/protocol'
import type { Source } from '../engine/source'
import { Bytes } from '../hex/panel'
import { decompressAndOpen, downloadAndOpen, downloading, forgetDownload } from '../state/download'
import { leave } from '../state/enter'
import { go } from '../state/route'
import { opening, type Refused } from '../state/stage'
import { isRunning } from '../state/work'
import { Icon } from '../ui/icon'
import { OpeningNow } from '../ui/opening'
import { Top } from '../ui/top'
import { WorkShown } from '../ui/work'
import { formatOffset } from '../values/offset'
import { exactBytes, formatSize } from '../values/size'
import { adviceFor } from './advice'
import { Header } from './header'

interface Finding {
  code: string
  message: string
  offset?: number | undefined
}

interface Props {
  refused: Refused
  /** Where the file is. */
  source: Source
  retry(): void
  openRaw(): void
}

/** A file that can't be opened as an image: what is wrong, where, and what to do. */
export function Problem({ refused, source, retry, openRaw }: Props) {
  const { name, size, failure, inspection } = refused
  const advice = adviceFor(refused)
  useEffect(() => forgetDownload, [refused])
  const inBacking = failure.depth !== undefined && failure.depth > 0
  const file: OpenFile = { key: 'image', name, size, role: 'image', depth: 0, hasDataFile: false }
  return (
    <div class="frame">
      <Top name={name} subtitle={<span title={exactBytes(size)}>{formatSize(size)}</span>} leaves="Back to the start" />
      {opening.value && <OpeningNow opening={opening.value} />}
      <main class="problem">
        <section class="card" aria-labelledby="problem-title">
          <h2 id="problem-title" class="problem-title">
            {advice.title}
          </h2>
          <div role="alert">
            <Findings findings={findingsOf(refused)} inBacking={inBacking} />
          </div>
          <h3>What to do</h3>
          {advice.steps.map((step) => (
            <p key={step} class="advice">
              {step}
            </p>
          ))}
          {advice.command && <pre>{advice.command}</pre>}
          <WorkShown work={downloading.value} />
          <div class="actions">
            {advice.mayBeRaw && (
              <button type="button" class="button primary" onClick={openRaw}>
                Open as a raw disk
              </button>
            )}
            {advice.download && !isRunning(downloading.value) && (
              <button type="button" class="button primary" onClick={() => void downloadAndOpen(advice.download ?? '')}>
                <Icon name="download" /> Download it here
              </button>
            )}
            {advice.decompress && !isRunning(downloading.value) && (
              <button type="button" class="button primary" onClick={() => void decompressAndOpen(source)}>
                Decompress it here
              </button>
            )}
            <button type="button" class="button" onClick={retry}>
              Try again
            </button>
            <button type="button" class="button" onClick={() => void leave()}>
              Back to the start
            </button>
          </div>
        </section>
        {inspection?.format === 'qcow2' && !inBacking && <CheckPanel repairable before={showBytes} />}
        {inspection?.header && <Header header={inspection.header} />}
        {size > 0 && (
          <section id="file-bytes" aria-label="The file's bytes" class="bytes">
            <Bytes files={[file]} disk={null} file={file} generation={0} />
          </section>
        )}
      </main>
    </div>
  )
}

function showBytes(): void {
  document.getElementById('file-bytes')?.scrollIntoView({ block: 'nearest' })
}

/** What the engine stopped at, and whatever else is wrong; each thing once. */
function findingsOf({ failure, inspection }: Refused): Finding[] {
  const others = (inspection?.problems ?? []).filter(
    (problem) =>
      problem.message !== failure.message && !(problem.code === failure.code && problem.offset === failure.offset),
  )
  return [failure, ...others]
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1).replace(/[^.!?]$/, '$&.')

function Findings({ findings, inBacking }: { findings: Finding[]; inBacking: boolean }) {
  return (
    <ul class="findings">
      {findings.map((finding, index) => (
        <li key={`${finding.code} ${index}`} data-code={finding.code}>
          {sentence(finding.message)}{' '}
          {finding.offset !== undefined && !inBacking && (
            <button
              type="button"
              class="link"
              onClick={() => {
                go({ at: BigInt(finding.offset ?? 0) })
                showBytes()
              }}
            >
              Show byte <span class="mono">{formatOffset(finding.offset)}</span>
            </button>
          )}
        </li>
      ))}
    </ul>
  )
}
