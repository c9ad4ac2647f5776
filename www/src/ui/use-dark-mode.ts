import { useEffect, useState } from 'preact/hooks'
import { isDark } from '../state/theme'

/** Whether the page is dark now, for canvases, which no style reaches. */
export function useDarkMode(): boolean {
  const [, again] = useState(0)
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)')
    const onChange = () => again((count) => count + 1)
    query.addEventListener('change', onChange)
    return () => query.removeEventListener('change', onChange)
  }, [])
  return isDark()
}
