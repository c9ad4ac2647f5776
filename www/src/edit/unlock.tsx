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

/** Asks where the changes go of an image that the browser keeps, and whether to take its file over. */
export function UnlockDialog() {
  const [inFile, setInFile] = useState(true)
  const running = isRunning(unlocking.value)
  const isInUse = inUse.value && inFile && !running
  const onSubmit = (event: Event) => {
    event.preventDefault()
    void (inFile ? unlockInPlace(isInUse) : unlockInMemory())
  }
  return (
    <Dialog title={`Edit ${opened.value?.name}`} onClose={forgetUnlocking}>
      <form onSubmit={onSubmit}>
        <WhereChoice inFile={inFile} disabled={running} onChoose={setInFile} />
        {isInUse ? (
          <Notice tone="warn">
            <strong>Another tab is changing this file.</strong> You can take it over: the other tab stores its changes
            and closes the image. Or let it stay read-only here.
          </Notice>
        ) : (
          <WorkShown work={unlocking.value} />
        )}
        <FormActions
          label={isInUse ? 'Take over' : 'Unlock'}
          disabled={running}
          autofocus
          cancel={isInUse ? 'Stay read-only' : 'Cancel'}
          onCancel={forgetUnlocking}
        />
      </form>
    </Dialog>
  )
}
