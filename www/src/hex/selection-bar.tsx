import type { ByteSource } from '../engine/protocol'
import { copy, copyOutcome } from '../state/copy'
import { askToHash, type HashChoice } from '../state/hashes'
import type { ByteRange } from '../state/selection'
import { MenuButton } from '../ui/menu'
import { formatOffset } from '../values/offset'
import { formatSize } from '../values/size'
import { COPY_FORMATS, type CopyFormat } from './copied'

interface Props {
  source: ByteSource
  selection: ByteRange
  /** What can be hashed besides the selection. */
  hashable: HashChoice[]
}

/** How much is selected, and what can be done with it. */
export function SelectionBar({ source, selection, hashable }: Props) {
  const { start, end } = selection
  const length = end - start
  const outcome = copyOutcome.value
  const ask = () => {
    const selected: HashChoice = {
      label: length === 1n ? `The byte at ${formatOffset(start)}` : 'The selection',
      size: Number(length),
      hashed: { of: 'bytes', source, start, end },
    }
    askToHash(length > 1n ? [selected, ...hashable] : [...hashable, selected])
  }
  return (
    <div class="toolbar selection-bar">
      <p class="soft" role="status">
        {outcome ? (
          <span class={outcome.tone === 'bad' ? 'bad-text' : ''}>{outcome.text}</span>
        ) : length > 1n ? (
          <>
            <b data-selected={String(length)}>{selectedWords(length)}</b> from{' '}
            <span class="mono">{formatOffset(start)}</span> to <span class="mono">{formatOffset(end - 1n)}</span>
          </>
        ) : (
          'Drag, or hold Shift, to select a range.'
        )}
      </p>
      <span class="spacer" />
      <MenuButton
        class="small"
        items={Object.entries(COPY_FORMATS).map(([format, label]) => ({
          label,
          onSelect: () => void copy(source, selection, format as CopyFormat),
        }))}
      >
        Copy as
      </MenuButton>
      <button type="button" class="button small" onClick={ask}>
        Hashes…
      </button>
    </div>
  )
}

function selectedWords(length: bigint): string {
  const bytes = `${length.toLocaleString('en')} bytes`
  return length < 1024n ? bytes : `${bytes} (${formatSize(Number(length))})`
}
