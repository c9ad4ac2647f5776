import type { ComponentChildren } from 'preact'
import { enterFile, leave } from '../state/enter'
import { FileButton } from './file-button'
import { Icon, Mark } from './icon'
import { ThemeButton } from './theme-button'

interface Props {
  name: string
  subtitle: ComponentChildren
  /** What the button does that leads back to the start. */
  leaves: string
  /** What can be done with the image itself. */
  children?: ComponentChildren
  /** What can be done with the page. */
  after?: ComponentChildren
}

/** The bar above an image, whether it could be opened or not: its name, its actions, and the ways to other images. */
export function Top({ name, subtitle, leaves, children, after }: Props) {
  return (
    <header class="top">
      <button type="button" class="button quiet square" aria-label={leaves} title={leaves} onClick={() => void leave()}>
        <Mark />
      </button>
      <div class="titles">
        <h1 title={name}>{name}</h1>
        <p class="subtitle">{subtitle}</p>
      </div>
      {children}
      <FileButton label="Another qcow2 image" onFile={(file) => void enterFile(file)}>
        <Icon name="folder" /> Open…
      </FileButton>
      {after}
      <ThemeButton />
    </header>
  )
}
