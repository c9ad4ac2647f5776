/** Light, dark, or as the system has it. */

import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'qcow2-web theme'

export const theme = signal<Theme>(remembered())

export function setTheme(next: Theme): void {
  theme.value = next
  apply()
  try {
    if (next === 'system') localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, next)
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

/** The theme that is shown: chosen here, or by the system. */
export function isDark(): boolean {
  return theme.value === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : theme.value === 'dark'
}

export function apply(): void {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
}

function remembered(): Theme {
  try {
    const kept = localStorage.getItem(KEY)
    return kept === 'light' || kept === 'dark' ? kept : 'system'
  } catch {
    return 'system'
  }
}
