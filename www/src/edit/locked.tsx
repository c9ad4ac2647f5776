import type { ComponentChildren } from 'preact'
import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { storedPath } from '../state/stage'
import { unlock } from '../state/unlock'
import { Icon } from '../ui/icon'
import { Notice } from '../ui/notice'

const WHERE = 'You choose whether the stored file itself is changed.'

/** Shows what an image can be edited for, if it can be edited. */
export function Locked({ image, children }: { image: OpenedImage; children: ComponentChildren }) {
  if (image.notEditable !== null) return null
  const open = (
    <button type="button" class="button small" disabled={busy.value} onClick={() => void unlock()}>
      <Icon name="edit" /> Edit the image
    </button>
  )
  return (
    <Notice tone="info" action={open}>
      {children} {storedPath.value === null ? 'The image file stays as it is until you save.' : WHERE}
    </Notice>
  )
}
