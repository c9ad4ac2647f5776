import type { FilePath } from 'qcow2-web/files'
import { Icon } from '../ui/icon'
import { trail } from './path'

interface Props {
  /** What the root is called. */
  root: string
  directory: FilePath
  onGo(directory: FilePath): void
}

/** The way from the root to the directory that is shown. */
export function Breadcrumb({ root, directory, onGo }: Props) {
  const steps = trail(directory)
  return (
    <nav class="breadcrumb" aria-label="Path">
      <ol>
        {steps.map(({ name, path }, index) => (
          <li key={path.length}>
            {index > 0 && <Icon name="right" />}
            {index === steps.length - 1 ? (
              <span aria-current="location">{name || root}</span>
            ) : (
              <button type="button" class="link" onClick={() => onGo(path)}>
                {name || root}
              </button>
            )}
          </li>
        ))}
      </ol>
    </nav>
  )
}
