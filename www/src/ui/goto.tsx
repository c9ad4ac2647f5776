import type { RefObject } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { formatOffset, parseOffset } from '../values/offset'

interface Props {
  end: bigint
  onGo(offset: bigint): void
  /** Where the focus returns to. */
  view: RefObject<HTMLElement | null>
}

/** The field for an offset; `g` leads to it, Enter goes there, Escape goes back. */
export function GoTo({ end, onGo, view }: Props) {
  const field = useRef<HTMLInputElement>(null)
  const onDone = () => view.current?.focus()
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement
      if (event.key !== 'g' || typing || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      field.current?.focus()
      field.current?.select()
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [])
  const [problem, setProblem] = useState<string | null>(null)
  const onSubmit = (event: Event) => {
    event.preventDefault()
    const text = field.current?.value ?? ''
    const offset = parseOffset(text, end)
    if (offset === null) {
      setProblem('Write an offset as 0x1f0000, 1048576, 1.5 GiB, 63 s (sectors), or -1M from the end.')
    } else if (offset < 0n || offset >= end) {
      setProblem(`There are bytes from 0 to ${formatOffset(end - 1n)} only.`)
    } else {
      setProblem(null)
      onGo(offset)
      onDone()
    }
  }
  return (
    <form class="goto" onSubmit={onSubmit}>
      <label for="goto">Go to</label>
      <input
        id="goto"
        class="field mono"
        ref={field}
        placeholder="0x…, 1 MiB, 63 s"
        autocomplete="off"
        spellcheck={false}
        aria-invalid={problem !== null}
        aria-describedby={problem ? 'goto-problem' : undefined}
        onInput={() => setProblem(null)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone()
        }}
      />
      {problem && (
        <p id="goto-problem" class="goto-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  )
}
