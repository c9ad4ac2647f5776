import { useEffect, useState } from 'preact/hooks'
import type { VolumeInfo } from 'qcow2-web/files'
import type { VolumeAt } from '../engine/protocol'
import { forgetVolumeUnlocking, unlockingVolume, unlockVolume } from '../state/unlock-volume'
import { isRunning } from '../state/work'
import { WorkShown } from '../ui/work'
import { volumeName } from './words'

interface Props {
  at: VolumeAt
  volume: VolumeInfo
  /** The volumes in it can be listed now. */
  onUnlocked(ids: string[]): void
}

/** Asks for the passphrase of an encrypted volume. It is forgotten when the key was derived from it. */
export function LockedVolume({ at, volume, onUnlocked }: Props) {
  const [passphrase, setPassphrase] = useState('')
  const [shown, setShown] = useState(false)
  useEffect(() => forgetVolumeUnlocking, [])
  const now = unlockingVolume.value
  const running = isRunning(now)
  const problem = now !== null && 'problem' in now
  const onSubmit = async (event: Event) => {
    event.preventDefault()
    const found = await unlockVolume(at, passphrase)
    if (found) onUnlocked(found)
  }
  return (
    <section class="card locked-volume" aria-labelledby="locked-title">
      <h2 id="locked-title">
        {volumeName(volume)}: {volume.title}
      </h2>
      <p>It is encrypted. Its passphrase does not leave this page, and nothing is written to unlock it.</p>
      <form class="passphrase" onSubmit={(event) => void onSubmit(event)}>
        <label for="volume-passphrase">Passphrase</label>
        <input
          id="volume-passphrase"
          class="field"
          {...(shown ? { type: 'text' } : { type: 'password' })}
          value={passphrase}
          autocomplete="off"
          spellcheck={false}
          required
          aria-invalid={problem}
          onInput={(event) => setPassphrase(event.currentTarget.value)}
        />
        <label class="soft">
          <input type="checkbox" checked={shown} onChange={(event) => setShown(event.currentTarget.checked)} /> Show it
        </label>
        <button type="submit" class="button primary" disabled={running}>
          Unlock
        </button>
      </form>
      <WorkShown work={now} />
    </section>
  )
}
