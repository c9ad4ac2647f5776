import { askOfKeySlots, changeKeySlots, keySlotWork } from '../state/key-slots'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { WorkShown } from '../ui/work'

/** Asks before a slot is erased. Refuses the last one. */
export function EraseDialog({ slot, last }: { slot: number; last: boolean }) {
  const close = () => askOfKeySlots(null)
  return (
    <Dialog title={last ? `Slot ${slot} is the only one` : `Erase slot ${slot}?`} onClose={close}>
      {last ? (
        <p>Without it nothing would open the image any more. Add another passphrase first, then erase this one.</p>
      ) : (
        <p>
          Its passphrase will not open the image any more: be sure that you know the one of another slot. Copies of the
          file from before are not changed by it.
        </p>
      )}
      <WorkShown work={keySlotWork.value} />
      <div class="actions">
        {!last && (
          <button
            type="button"
            class="button primary"
            disabled={isRunning(keySlotWork.value)}
            onClick={() => void changeKeySlots({ kind: 'erase', slot })}
          >
            Erase
          </button>
        )}
        <button type="button" class="button quiet" autofocus onClick={close}>
          {last ? 'Close' : 'Cancel'}
        </button>
      </div>
    </Dialog>
  )
}
