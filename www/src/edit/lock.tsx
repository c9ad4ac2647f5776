import type { OpenedImage } from '../engine/protocol'
import { copying } from '../state/copy-up'
import { canUndo, undo, unlock, unsaved } from '../state/edit'
import { go } from '../state/route'
import { destination, download, save, saveHere, saving } from '../state/save'
import { isRunning } from '../state/work'
import { Icon } from '../ui/icon'

/** Says whether the image can be changed, and lets the person change that; then also undo and save. */
export function Lock({ image }: { image: OpenedImage }) {
  if (!image.editing) {
    return (
      <button
        type="button"
        class="button lock"
        disabled={image.notEditable !== null || isRunning(copying.value)}
        title={image.notEditable ?? 'Unlock it to change its bytes. The file stays as it is until you save.'}
        onClick={() => void unlock()}
      >
        <Icon name="lock" /> Read-only
      </button>
    )
  }
  const busy = saving.value !== null || isRunning(copying.value)
  const nothingToSave = !unsaved.value || busy
  const onUndo = () => {
    const at = undo()
    if (at !== null) go({ panel: 'hex', of: 'disk', at })
  }
  return (
    <div class="toolbar" role="group" aria-label="Changes">
      <span class="lock unlocked" title="Bytes can be changed in the hex view. The file stays as it is until you save.">
        <Icon name="unlock" /> {unsaved.value ? 'Editing, not saved' : 'Editing'}
      </span>
      <button
        type="button"
        class="button quiet square"
        aria-label="Undo"
        title="Undo (Ctrl+Z)"
        disabled={!canUndo.value}
        onClick={onUndo}
      >
        <Icon name="undo" />
      </button>
      {destination() !== 'download' && (
        <button type="button" class="button primary" disabled={nothingToSave} onClick={() => void save()}>
          <Icon name="save" /> {destination() === 'origin' ? 'Save' : 'Save as…'}
        </button>
      )}
      <button
        type="button"
        class={destination() === 'download' ? 'button primary' : 'button'}
        disabled={busy}
        onClick={() => void download()}
      >
        <Icon name="download" /> Download
      </button>
      {destination() !== 'origin' && (
        <button
          type="button"
          class="button"
          disabled={busy}
          title="The browser keeps it; find it on the start page"
          onClick={() => void saveHere()}
        >
          Keep here
        </button>
      )}
    </div>
  )
}
