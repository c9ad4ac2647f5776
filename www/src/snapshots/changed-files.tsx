import { useState } from 'preact/hooks'
import type { FileChange } from '../engine/protocol'
import { asDirectory, textOf } from '../files/path'
import { shortDate } from '../files/words'
import { go } from '../state/route'
import { type Comparison, fileWork } from '../state/snapshots'
import { isRunning } from '../state/work'
import { Notice } from '../ui/notice'
import { useLimit } from '../ui/use-limit'
import { formatCount, formatSize } from '../values/size'

type Kind = FileChange['kind']

const KINDS: Record<Kind, { label: string; sign: string }> = {
  added: { label: 'Added', sign: '+' },
  changed: { label: 'Changed', sign: '∗' },
  moved: { label: 'Moved', sign: '→' },
  removed: { label: 'Removed', sign: '−' },
}

/** The files that were added, changed, moved and removed. */
export function ChangedFiles({ comparison }: { comparison: Comparison }) {
  const { files, summary } = comparison
  const [chosen, choose] = useState<Kind | null>(null)
  const counts = (kind: Kind) => files.filter((change) => change.kind === kind).length
  const kind = chosen && counts(chosen) > 0 ? chosen : null
  const [shown, more] = useLimit(kind ? files.filter((change) => change.kind === kind) : files)
  const several = new Set(files.map(({ volume }) => volume)).size > 1
  return (
    <div class="changed-files">
      {summary?.notes.map((note) => (
        <Notice key={note} tone="info">
          {note}
        </Notice>
      ))}
      {summary && summary.unreadable > 0 && (
        <Notice tone="warn">{formatCount(summary.unreadable)} folders could not be read.</Notice>
      )}
      {files.length > 0 && (
        <div class="joined" role="group" aria-label="Which files">
          <button type="button" class="button small" aria-pressed={kind === null} onClick={() => choose(null)}>
            All <span class="count">{formatCount(files.length)}</span>
          </button>
          {(Object.keys(KINDS) as Kind[])
            .filter((each) => counts(each) > 0)
            .map((each) => (
              <button
                key={each}
                type="button"
                class="button small"
                aria-pressed={kind === each}
                onClick={() => choose(each)}
              >
                {KINDS[each].label} <span class="count">{formatCount(counts(each))}</span>
              </button>
            ))}
        </div>
      )}
      {files.length === 0 && !isRunning(fileWork.value) && summary && (
        <p class="soft">
          No file differs, of {formatCount(summary.compared)} that were compared by size, times and owner. What was
          written is of the file systems themselves, or outside of them.
        </p>
      )}
      {files.length > 0 && (
        <table class="list changes">
          <caption class="visually-hidden">Files that differ</caption>
          <thead>
            <tr>
              <th scope="col">Change</th>
              <th scope="col">File</th>
              <th scope="col" class="end">
                Size
              </th>
              <th scope="col">Modified</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((change) => (
              <Row
                key={`${change.kind} ${change.volume} ${textOf(change.path)}`}
                change={change}
                comparison={comparison}
                withVolume={several}
              />
            ))}
          </tbody>
        </table>
      )}
      {more}
    </div>
  )
}

interface RowProps {
  change: FileChange
  comparison: Comparison
  withVolume: boolean
}

function Row({ change, comparison: { from, to }, withVolume }: RowProps) {
  const { kind, what, volume, path, isDirectory, before, after } = change
  const { label, sign } = KINDS[kind]
  const show = () => {
    const snapshot = kind === 'removed' ? from.id : (to?.id ?? null)
    go({ panel: 'files', snapshot, volume, path: isDirectory ? asDirectory(path) : path }, 'push')
  }
  const modified = (after ?? before)?.modified
  return (
    <tr data-change={kind}>
      <td>
        <span class={`change ${kind}`}>
          <span aria-hidden="true">{sign}</span> {label}
        </span>
      </td>
      <th scope="row">
        <button type="button" class="link" onClick={show}>
          <bdi>{textOf(path)}</bdi>
        </button>
        {withVolume && <span class="soft"> on {volume}</span>}
        {kind === 'changed' && what === 'metadata' && <span class="soft"> only its times, owner or permissions</span>}
        {change.from !== undefined && <span class="soft"> from {textOf(change.from)}</span>}
      </th>
      <td class="end">{!isDirectory && sizeWords(before?.size, after?.size)}</td>
      <td class="soft">{modified !== undefined && shortDate(modified)}</td>
    </tr>
  )
}

function sizeWords(before: number | undefined, after: number | undefined): string {
  if (before === undefined || after === undefined) return formatSize(before ?? after ?? 0)
  return before === after ? formatSize(after) : `${formatSize(before)} → ${formatSize(after)}`
}
