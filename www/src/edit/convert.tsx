import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Part } from '../engine/protocol'
import {
  CONVERSIONS,
  type ConversionName,
  chunksOf,
  convert,
  converted,
  converting,
  forgetConversion,
  isConverted,
  MOST_CHUNKS,
} from '../state/convert'
import { canPick } from '../state/save'
import { disk, opened } from '../state/stage'
import { exportFile } from '../state/stored'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { Icon } from '../ui/icon'
import { WorkShown } from '../ui/work'
import { formatCount, formatSize } from '../values/size'
import { ExpectedSize } from './expected'
import { PartChoice } from './part'

const GIB = 2 ** 30
/** The lengths of chunks. One of 3.5 GiB fits on FAT32, which stores no file of 4 GiB. */
const CHUNKS = [256 * 2 ** 20, GIB, 2 * GIB, 3.5 * GIB, 16 * GIB]

/** Asks what to make of the disk that is shown, and makes it. */
export function ConvertDialog() {
  const size = disk.value?.size ?? 0
  const [name, setName] = useState<ConversionName>('zstd')
  const [part, setPart] = useState<Part | null>({ start: 0, end: size })
  const [chunk, setChunk] = useState<number | null>(null)
  const [into, setInto] = useState<'chosen' | 'browser'>(canPick() ? 'chosen' : 'browser')
  const missing = opened.value?.info.missing ?? 0
  const [acceptMissing, setAcceptMissing] = useState(false)
  const [salvage, setSalvage] = useState(false)
  const work = converting.value
  const failed = work !== null && 'problem' in work
  const done = isConverted.value
  const count = part ? chunksOf(part, chunk).length : 0
  const blocked = isRunning(work) || part === null || count > MOST_CHUNKS || (missing > 0 && !acceptMissing)
  const onSubmit = (event: Event) => {
    event.preventDefault()
    if (part && !blocked) void convert({ name, part, chunk, into, damage: { acceptMissing, salvage } })
  }
  return (
    <Dialog title="Convert the disk" onClose={forgetConversion}>
      <p>
        Makes a file of its own that shows the disk as it is here: without backing files, snapshots and encryption.
        Zeros take no room in an image.
      </p>
      <form onSubmit={onSubmit}>
        <fieldset class="choices" disabled={done || isRunning(work)}>
          <legend class="visually-hidden">What to make</legend>
          {(Object.keys(CONVERSIONS) as ConversionName[]).map((each) => (
            <label key={each}>
              <input type="radio" name="conversion" checked={name === each} onChange={() => setName(each)} />
              <span>{CONVERSIONS[each].label}</span>
            </label>
          ))}
        </fieldset>
        <fieldset class="new-image plain" disabled={done || isRunning(work)}>
          <legend class="visually-hidden">Of what, and where to</legend>
          <PartChoice size={size} onChoose={setPart} />
          <label for="convert-chunks">In</label>
          <select
            id="convert-chunks"
            class="field"
            value={chunk ?? 0}
            onChange={(event) => setChunk(Number(event.currentTarget.value) || null)}
          >
            <option value={0}>One file</option>
            {CHUNKS.map((bytes) => (
              <option key={bytes} value={bytes}>
                Files for {formatSize(bytes)} of the disk each
              </option>
            ))}
          </select>
          {canPick() && (
            <>
              <label for="convert-into">Saved</label>
              <select
                id="convert-into"
                class="field"
                value={into}
                onChange={(event) => setInto(event.currentTarget.value as 'chosen' | 'browser')}
              >
                <option value="chosen">{count > 1 ? 'In a folder that you choose' : 'Where you choose'}</option>
                <option value="browser">In this browser</option>
              </select>
            </>
          )}
        </fieldset>
        {part && !done && <ExpectedSize name={name} part={part} inBrowser={into === 'browser'} />}
        {count > 1 && !done && (
          <p class={count > MOST_CHUNKS ? 'bad-text' : 'soft'}>
            {count > MOST_CHUNKS
              ? `These would be ${formatCount(count)} files: choose larger ones.`
              : `${formatCount(count)} files. Each shows the next part of the disk.`}
          </p>
        )}
        {missing > 0 && (
          <Choice checked={acceptMissing} onChange={setAcceptMissing}>
            The file is cut off. Take the {formatSize(missing)} that are missing for zeros.
          </Choice>
        )}
        <WorkShown work={work} />
        {(failed || salvage) && (
          <Choice checked={salvage} onChange={setSalvage}>
            Go on past what cannot be read, and make it zeros.
          </Choice>
        )}
        <div class="actions">
          {!done ? (
            <button type="submit" class="button primary" disabled={blocked}>
              Convert
            </button>
          ) : (
            converted.value.length === 1 && <DownloadButton path={converted.value[0] ?? ''} />
          )}
          <button type="button" class="button quiet" onClick={forgetConversion}>
            Close
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function DownloadButton({ path }: { path: string }) {
  return (
    <button type="button" class="button primary" onClick={() => void exportFile(path)}>
      <Icon name="download" /> Download
    </button>
  )
}

interface ChoiceProps {
  checked: boolean
  onChange(checked: boolean): void
  children: ComponentChildren
}

/** What the person agrees to before a corrupt disk is converted. */
function Choice({ checked, onChange, children }: ChoiceProps) {
  return (
    <div class="choices">
      <label>
        <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
        <span>{children}</span>
      </label>
    </div>
  )
}
