import type { ComponentChildren } from 'preact'
import { useRef } from 'preact/hooks'

type Props = {
  children: ComponentChildren
  class?: string
  autofocus?: boolean
  disabled?: boolean
  /** Names the hidden input. */
  label: string
} & ({ multiple?: false; onFile(file: File): void } | { multiple: true; onFiles(files: File[]): void })

/** A button that opens the browser's file chooser. */
export function FileButton(props: Props) {
  const { children, class: kind = '', label, autofocus = false, disabled = false } = props
  const input = useRef<HTMLInputElement>(null)
  const onChange = () => {
    const files = [...(input.current?.files ?? [])]
    if (input.current) input.current.value = ''
    const [first] = files
    if (!first) return
    if (props.multiple) props.onFiles(files)
    else props.onFile(first)
  }
  return (
    <>
      <button
        type="button"
        class={`button ${kind}`}
        autofocus={autofocus}
        disabled={disabled}
        onClick={() => input.current?.click()}
      >
        {children}
      </button>
      <input ref={input} type="file" hidden multiple={props.multiple ?? false} aria-label={label} onChange={onChange} />
    </>
  )
}
