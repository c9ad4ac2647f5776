import { useState } from 'preact/hooks'
import { busy } from '../state/busy'
import { Icon } from '../ui/icon'

/** Takes a snapshot under a name. */
export function TakeForm({ onTake }: { onTake(name: string): void }) {
  const [name, setName] = useState('')
  const onSubmit = (event: Event) => {
    event.preventDefault()
    onTake(name.trim())
    setName('')
  }
  return (
    <form class="card toolbar" onSubmit={onSubmit}>
      <label for="snapshot-name">New snapshot</label>
      <input
        id="snapshot-name"
        class="field"
        value={name}
        placeholder="before the upgrade"
        maxLength={255}
        autocomplete="off"
        required
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" class="button primary" disabled={busy.value}>
        <Icon name="camera" /> Take snapshot
      </button>
      <span class="soft">It keeps the disk as it is now. Only what changes from then on takes more room.</span>
    </form>
  )
}
