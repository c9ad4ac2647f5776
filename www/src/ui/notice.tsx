import type { ComponentChildren } from 'preact'
import { Icon } from './icon'

interface Props {
  tone: 'info' | 'good' | 'warn' | 'bad'
  children: ComponentChildren
  action?: ComponentChildren
}

/** A sentence that stays in view; bad news is announced immediately. */
export function Notice({ tone, children, action }: Props) {
  return (
    <div class={`notice ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      <Icon name={tone === 'info' ? 'info' : tone === 'good' ? 'done' : 'warn'} />
      <div>{children}</div>
      {action}
    </div>
  )
}
