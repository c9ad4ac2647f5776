import { useState } from 'preact/hooks'
import { unlocking } from '../state/edit'
import { opened } from '../state/stage'
import { forgetUnlocking, inUse, unlockInMemory, unlockInPlace } from '../state/unlock'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { FormActions } from '../ui/form-actions'
import { Notice } from '../ui/notice'
import { WorkShown } from '../ui/work'
import { WhereChoice } from './where'

/** Asks where the changes of an image go that the browser keeps, and who is to have its file. */
export function UnlockDialog() {
  const [place, setPlace] = useState(true)
  const running = isRunning(unlocking.value)
  const taken = inUse.value && place && !running
  const onSubmit = (event: Event) => {
    event.preventDefault()
    void (place ? unlockInPlace(taken) : unlockInMemory())
  }
  return (
    <Dialog title={`Edit ${opened.value?.name}`} onClose={forgetUnlocking}>
      <form onSubmit={onSubmit}>
        <WhereChoice place={place} disabled={running} onChoose={setPlace} />
        {taken ? (
          <Notice tone="warn">
            <strong>Another tab is changing this file.</strong> You can take it over: the other tab stores its changes
            and closes the image. Or let it stay read-only here.
          </Notice>
        ) : (
          <WorkShown work={unlocking.value} />
        )}
        <FormActions
          label={taken ? 'Take over' : 'Unlock'}
          disabled={running}
          autofocus
          cancel={taken ? 'Stay read-only' : 'Cancel'}
          onCancel={forgetUnlocking}
        />
      </form>
    </Dialog>
  )
}
