import { useEffect, useRef } from 'preact/hooks'

/** Keys that a terminal sends as more than their letter. */
const KEYS: Record<string, string> = {
  Enter: '\r',
  Backspace: '\x7f',
  Tab: '\t',
  Escape: '\x1b',
  ArrowUp: '\x1b[A',
  ArrowDown: '\x1b[B',
  ArrowRight: '\x1b[C',
  ArrowLeft: '\x1b[D',
}

/** The first serial line: what the machine sends, and what is typed to it. */
export function Serial({ text, onType }: { text: string; onType(text: string): void }) {
  const box = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight
  }, [text])
  const onKeyDown = (event: KeyboardEvent) => {
    const sent = sentBy(event)
    if (sent === null) return
    event.preventDefault()
    onType(sent)
  }
  return (
    <section aria-label="Serial console">
      <h2>Serial console</h2>
      <textarea
        ref={box}
        class="serial mono"
        readOnly
        aria-label="Serial console: type here"
        spellcheck={false}
        value={text.replace(/\r/g, '')}
        onKeyDown={onKeyDown}
      />
    </section>
  )
}

/** What a key sends; `null` for one that stays with the browser. */
function sentBy({ key, ctrlKey, altKey, metaKey, shiftKey }: KeyboardEvent): string | null {
  if (altKey || metaKey) return null
  if (ctrlKey)
    return /^[a-z]$/i.test(key) && !shiftKey ? String.fromCharCode(key.toUpperCase().charCodeAt(0) - 64) : null
  // Shift and Tab go back to what is before the console.
  if (key === 'Tab' && shiftKey) return null
  if (Object.hasOwn(KEYS, key)) return KEYS[key] ?? null
  return key.length === 1 ? key : null
}
