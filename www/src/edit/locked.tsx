import type { ComponentChildren } from 'preact'
import type { OpenedImage } from '../engine/protocol'
import { copying } from '../state/copy-up'
import { unlock } from '../state/edit'
import { isRunning } from '../state/work'
import { Icon } from '../ui/icon'
import { Notice } from '../ui/notice'

/** Says what an image could be unlocked for, where it can be. */
export function Locked({ image, children }: { image: OpenedImage; children: ComponentChildren }) {
  if (image.notEditable !== null) return null
  const open = (
    <button type="button" class="button small" disabled={isRunning(copying.value)} onClick={() => void unlock()}>
      <Icon name="unlock" /> Unlock
    </button>
  )
  return (
    <Notice tone="info" action={open}>
      {children}
    </Notice>
  )
}
