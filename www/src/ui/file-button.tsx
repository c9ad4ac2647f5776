import type { ComponentChildren } from 'preact'
import { useRef } from 'preact/hooks'

interface Props {
  children: ComponentChildren
  class?: string
  autofocus?: boolean
  /** Names the hidden input. */
  label: string
  onFile(file: File): void
}

/** A button that opens the browser's file chooser. */
export function FileButton({ children, class: kind = '', label, onFile, autofocus = false }: Props) {
  const input = useRef<HTMLInputElement>(null)
  const onChange = () => {
    const file = input.current?.files?.[0]
    if (input.current) input.current.value = ''
    if (file) onFile(file)
  }
  return (
    <>
      <button type="button" class={`button ${kind}`} autofocus={autofocus} onClick={() => input.current?.click()}>
        {children}
      </button>
      <input ref={input} type="file" hidden aria-label={label} onChange={onChange} />
    </>
  )
}
