import { useState } from 'preact/hooks'
import { CONVERSIONS, convert, converted, converting, forgetConversion } from '../state/convert'
import { exportFile } from '../state/stored'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { Icon } from '../ui/icon'
import { WorkShown } from '../ui/work'

/** Asks what to make of the disk that is shown, and makes it. */
export function ConvertDialog() {
  const [chosen, setChosen] = useState('zstd')
  const made = converted.value
  const onSubmit = (event: Event) => {
    event.preventDefault()
    void convert(chosen)
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
        <WorkShown work={converting.value} />
        <div class="actions">
          {made === null ? (
            <button type="submit" class="button primary" disabled={isRunning(converting.value)}>
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
