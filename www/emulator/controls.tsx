import { useEffect, useState } from 'preact/hooks'
import { Dialog } from '../src/ui/dialog'
import { formatSize } from '../src/values/size'
import { discardMachine, type Machine, overlaySize } from './machine'

interface Props {
  machine: Machine
  /** Some of what the machine has written is not kept yet. */
  dirty: boolean
  /** Runs something, and shows why it failed. */
  run(work: () => Promise<void>): Promise<void>
}

/** Pauses the machine, restarts it, and discards what it has written. */
export function Controls({ machine, dirty, run }: Props) {
  const { emulator } = machine
  const [running, setRunning] = useState(emulator.is_running())
  const [asks, setAsks] = useState(false)
  useEffect(() => {
    const started = () => setRunning(true)
    const stopped = () => setRunning(false)
    emulator.add_listener('emulator-started', started)
    emulator.add_listener('emulator-stopped', stopped)
    return () => {
      emulator.remove_listener('emulator-started', started)
      emulator.remove_listener('emulator-stopped', stopped)
    }
  }, [emulator])
  return (
    <div class="toolbar" role="group" aria-label="Machine">
      <span class="soft" title="The page can be closed without a loss once all writes are kept.">
        {dirty ? 'Writing…' : 'All writes are kept.'}
      </span>
      <OverlaySize machine={machine} />
      <button type="button" class="button" onClick={() => void run(() => (running ? emulator.stop() : emulator.run()))}>
        {running ? 'Pause' : 'Resume'}
      </button>
      <button type="button" class="button" onClick={() => emulator.restart()}>
        Restart
      </button>
      <button type="button" class="button" onClick={() => setAsks(true)}>
        Discard changes…
      </button>
      {asks && (
        <Dialog title="Discard what the machine has written?" onClose={() => setAsks(false)}>
          <p>Its disk becomes the one that it started from. The saved machines are deleted too.</p>
          <div class="actions">
            <button
              type="button"
              class="button primary"
              onClick={() =>
                void run(async () => {
                  await discardMachine(machine)
                  location.reload()
                })
              }
            >
              Discard
            </button>
            <button type="button" class="button quiet" onClick={() => setAsks(false)}>
              Keep
            </button>
          </div>
        </Dialog>
      )}
    </div>
  )
}

/** How often the size is asked for, in ms. */
const OFTEN = 2000

/** How much the overlay takes. */
function OverlaySize({ machine }: { machine: Machine }) {
  const [size, setSize] = useState<number | null>(null)
  useEffect(() => {
    const ask = () => void overlaySize(machine).then(setSize, () => setSize(null))
    ask()
    const timer = setInterval(ask, OFTEN)
    return () => clearInterval(timer)
  }, [machine])
  return size === null ? null : (
    <span class="soft" title={`${size} bytes`}>
      Its own image: {formatSize(size)}
    </span>
  )
}
