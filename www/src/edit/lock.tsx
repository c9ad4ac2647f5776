import { useEffect, useRef } from 'preact/hooks'
import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { canUndo, undo, unsaved } from '../state/edit'
import { go } from '../state/route'
import { destination, download, save, saveHere, saving } from '../state/save'
import { lock, unlock } from '../state/unlock'
import { Icon } from '../ui/icon'

/** Begins to change the image; then says so, undoes, saves and ends it. */
export function Lock({ image }: { image: OpenedImage }) {
  const whole = useFocusKept<HTMLButtonElement & HTMLDivElement>(image.editing)
  if (!image.editing) {
    return (
      <button
        ref={whole}
        type="button"
        class="button"
        disabled={image.notEditable !== null || busy.value}
        title={image.notEditable ?? 'Change its bytes, its snapshots and more. Until then it is only read.'}
        onClick={() => void unlock()}
      >
        <Icon name="edit" /> Edit
      </button>
    )
  }
  const inPlace = image.editing === 'place'
  const onUndo = () => {
    const at = undo()
    if (at !== null) go({ panel: 'hex', of: 'disk', at })
  }
  return (
    <div class="toolbar" role="group" aria-label="Changes" ref={whole} tabIndex={-1}>
      <span class="lock unlocked" title={inPlace ? IN_PLACE : IN_MEMORY}>
        <Icon name="unlock" /> {inPlace ? 'Editing in place' : 'Editing'}
        {unsaved.value && ', not saved'}
      </span>
      <button
        type="button"
        class="button quiet square"
        aria-label="Undo"
        title="Undo what was typed (Ctrl+Z)"
        disabled={!canUndo.value || saving.value !== null}
        onClick={onUndo}
      >
        <Icon name="undo" />
      </button>
      {inPlace ? <SaveInPlace /> : <Saves />}
      <button
        type="button"
        class="button quiet square"
        aria-label="Lock"
        title={LOCK}
        disabled={busy.value}
        onClick={() => void lock()}
      >
        <Icon name="lock" />
      </button>
    </div>
  )
}

/** The element takes the focus when the one that had it has gone with `state`. */
function useFocusKept<E extends HTMLElement>(state: unknown) {
  const element = useRef<E>(null)
  const before = useRef(state)
  useEffect(() => {
    if (before.current !== state && document.activeElement === document.body) element.current?.focus()
    before.current = state
  }, [state])
  return element
}

const IN_PLACE = 'What you change goes into the stored file; Save makes it last, also if the browser ends at once.'
const IN_MEMORY = 'What you change is in memory. The file stays as it is until you save.'
const LOCK = 'Lock: make the image read-only again'

/** An image that is changed in place is in its file already: what is left is to make that last, and to take a copy. */
function SaveInPlace() {
  return (
    <>
      <SaveButton label="Save" />
      <DownloadButton title="Saves the image, and downloads a copy of it" />
    </>
  )
}

/** Where an image that is changed in memory can go. */
function Saves() {
  const to = destination()
  return (
    <>
      {to !== 'download' && <SaveButton label={to === 'origin' ? 'Save' : 'Save as…'} />}
      <DownloadButton primary={to === 'download'} />
      {to !== 'origin' && (
        <button
          type="button"
          class="button"
          disabled={busy.value}
          title="The browser keeps it; find it on the start page"
          onClick={() => void saveHere()}
        >
          Keep here
        </button>
      )}
    </>
  )
}

function DownloadButton({ primary = false, title }: { primary?: boolean; title?: string }) {
  return (
    <button
      type="button"
      class={primary ? 'button primary' : 'button'}
      disabled={busy.value}
      title={title}
      onClick={() => void download()}
    >
      <Icon name="download" /> Download
    </button>
  )
}

function SaveButton({ label }: { label: string }) {
  return (
    <button type="button" class="button primary" disabled={busy.value || !unsaved.value} onClick={() => void save()}>
      <Icon name="save" /> {label}
    </button>
  )
}
