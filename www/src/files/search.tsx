import { useEffect, useState } from 'preact/hooks'
import { Icon } from '../ui/icon'

/** Milliseconds without a key until the search begins. */
const WAIT = 300

interface Props {
  pattern: string
  onSearch(pattern: string): void
}

/** Searches the names in the directory that is shown, and in all below it. Emptied, it shows the directory again. */
export function Search({ pattern, onSearch }: Props) {
  const [typed, setTyped] = useState(pattern)
  useEffect(() => {
    if (typed.trim() === pattern) return
    const timer = setTimeout(() => onSearch(typed.trim()), WAIT)
    return () => clearTimeout(timer)
  }, [typed])
  // It is ended elsewhere, too.
  useEffect(() => {
    if (pattern === '') setTyped('')
  }, [pattern])
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') onSearch(typed.trim())
    else if (event.key === 'Escape') onSearch('')
  }
  return (
    <label class="search">
      <Icon name="search" />
      <input
        class="field"
        type="search"
        aria-label="Search by name, here and below"
        placeholder="Search by name"
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
    </label>
  )
}
