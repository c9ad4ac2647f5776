import { useState } from 'preact/hooks'
import { formatSize } from '../src/values/size'
import type { Machine } from './machine'

interface Props {
  machine: Machine
  run(work: () => Promise<void>): Promise<void>
}

/** The saved machines, and a way to save one more. */
export function SavedMachines({ machine: { image, hda }, run }: Props) {
  const [name, setName] = useState(`Saved at ${new Date().toLocaleTimeString()}`)
  const [busy, setBusy] = useState(false)
  const saved = image.snapshots.list().filter(({ vmStateSize }) => vmStateSize > 0)
  const work = async (what: () => Promise<unknown>) => {
    setBusy(true)
    await run(async () => {
      await what()
    })
    setBusy(false)
  }
  return (
    <section aria-label="Saved machines">
      <h2>Saved machines</h2>
      <form
        class="toolbar"
        onSubmit={(event) => {
          event.preventDefault()
          void work(() => hda.savevm(name))
        }}
      >
        <input
          class="field"
          aria-label="Name"
          required
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <button type="submit" class="button" disabled={busy}>
          Save
        </button>
      </form>
      {saved.length === 0 && <p class="soft">None yet. A saved machine goes on where it was, also in another page.</p>}
      <ul class="saved">
        {saved.map(({ id, name: its, dateSec, vmStateSize }) => (
          <li key={id}>
            <span>
              {its}
              <span class="soft">
                {' '}
                {new Date(dateSec * 1000).toLocaleString()}, {formatSize(vmStateSize)}
              </span>
            </span>
            <button type="button" class="button small" disabled={busy} onClick={() => void work(() => hda.loadvm(id))}>
              Go back
            </button>
            <button
              type="button"
              class="button small quiet"
              disabled={busy}
              aria-label={`Delete ${its}`}
              onClick={() => void work(() => image.snapshots.delete(id))}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
