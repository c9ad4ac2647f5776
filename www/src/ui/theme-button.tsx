import { setTheme, type Theme, theme } from '../state/theme'
import { Icon } from './icon'

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const WORDS: Record<Theme, string> = { system: 'as the system', light: 'light', dark: 'dark' }

export function ThemeButton() {
  const now = theme.value
  const words = `Colours: ${WORDS[now]}. Change to ${WORDS[NEXT[now]]}`
  return (
    <button
      type="button"
      class="button quiet square"
      aria-label={words}
      title={words}
      onClick={() => setTheme(NEXT[now])}
    >
      <Icon name={now === 'system' ? 'system' : now === 'light' ? 'sun' : 'moon'} />
    </button>
  )
}
