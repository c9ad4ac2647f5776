import { useEffect, useRef } from 'preact/hooks'
import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { canRedo, canUndo, redo, undo, unsaved } from '../state/edit'
import { go } from '../state/route'
import { destination, download, save, saveHere, saving } from '../state/save'
import { lock, unlock } from '../state/unlock'
import { Icon } from '../ui/icon'
import { MenuButton, type MenuItem } from '../ui/menu'

/** Unlocks the image for editing. Then it undoes, saves and locks. */
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
  const inPlace = image.editing === 'file'
  const show = (at: bigint | null) => {
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
        title="Undo the last change (Ctrl+Z)"
        disabled={!canUndo.value || saving.value !== null}
        onClick={() => show(undo())}
      >
        <Icon name="undo" />
      </button>
      <button
        type="button"
        class="button quiet square"
        aria-label="Redo"
        title="Type again what was undone (Ctrl+Shift+Z)"
        disabled={!canRedo.value || saving.value !== null}
        onClick={() => show(redo())}
      >
        <Icon name="redo" />
      </button>
      <Save inPlace={inPlace} />
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

/** Focuses the element when `state` changes and removes the focused element. */
function useFocusKept<E extends HTMLElement>(state: unknown) {
  const element = useRef<E>(null)
  const before = useRef(state)
  useEffect(() => {
    if (before.current !== state && document.activeElement === document.body) element.current?.focus()
    before.current = state
  }, [state])
  return element
}

const IN_PLACE = 'What you change goes into the stored file; Save makes it last, even if the browser ends right after.'
const IN_MEMORY = 'What you change is in memory. The file stays as it is until you save.'
const LOCK = 'Lock: make the image read-only again'

/** Saves where the image belongs; a menu has the other ways. */
function Save({ inPlace }: { inPlace: boolean }) {
  const to = inPlace ? 'origin' : destination()
  const keep: MenuItem = {
    label: 'Keep in this browser',
    title: 'Find it on the start page',
    onSelect: () => void saveHere(),
  }
  const load: MenuItem = { label: inPlace ? 'Download a copy' : 'Download', onSelect: () => void download() }
  const others = [...(to === 'download' ? [] : [load]), ...(to === 'origin' ? [] : [keep])]
  return (
    <div class="joined" role="group" aria-label="Save">
      <button
        type="button"
        class="button primary"
        disabled={busy.value || (to !== 'download' && !unsaved.value)}
        onClick={() => void (to === 'download' ? download() : save())}
      >
        <Icon name={to === 'download' ? 'download' : 'save'} />
        {to === 'origin' ? 'Save' : to === 'choice' ? 'Save as…' : 'Download'}
      </button>
      <MenuButton
        class="primary square"
        label="More ways to keep it"
        title="More ways to keep it"
        disabled={busy.value}
        items={others}
      />
    </div>
  )
}
