import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { CONVERSIONS, convert, converted, converting, forgetConversion } from '../state/convert'
import { opened } from '../state/stage'
import { exportFile } from '../state/stored'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { Icon } from '../ui/icon'
import { WorkShown } from '../ui/work'
import { formatSize } from '../values/size'

/** Asks what to make of the disk that is shown, and makes it. */
export function ConvertDialog() {
  const [chosen, setChosen] = useState('zstd')
  const missing = opened.value?.info.missing ?? 0
  const [acceptMissing, setAcceptMissing] = useState(false)
  const [salvage, setSalvage] = useState(false)
  const work = converting.value
  const failed = work !== null && 'problem' in work
  const made = converted.value
  const onSubmit = (event: Event) => {
    event.preventDefault()
    void convert(chosen, { acceptMissing, salvage })
  }
  return (
    <Dialog title="Convert the disk" onClose={forgetConversion}>
      <p>
        Makes a file of its own that shows the disk as it is here: without backing files, snapshots and encryption.
        Zeros take no room in it. The browser keeps it, to be opened or downloaded.
      </p>
      <form onSubmit={onSubmit}>
        <fieldset class="choices" disabled={made !== null || isRunning(converting.value)}>
          <legend class="visually-hidden">What to make</legend>
          {Object.entries(CONVERSIONS).map(([name, { label }]) => (
            <label key={name}>
              <input type="radio" name="conversion" checked={chosen === name} onChange={() => setChosen(name)} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
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
          {made === null ? (
            <button type="submit" class="button primary" disabled={isRunning(work) || (missing > 0 && !acceptMissing)}>
              Convert
            </button>
          ) : (
            <button type="button" class="button primary" onClick={() => void exportFile(made)}>
              <Icon name="download" /> Download
            </button>
          )}
          <button type="button" class="button quiet" onClick={forgetConversion}>
            Close
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface ChoiceProps {
  checked: boolean
  onChange(checked: boolean): void
  children: ComponentChildren
}

/** What the person agrees to before a damaged disk is converted. */
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
