interface Props {
  id: string
  label: string
  value: string
  autofocus?: boolean
  /** A passphrase: hidden, and not for the browser to fill in. */
  secret?: boolean
  onChange(value: string): void
}

/** A field for a line of text, with its label before it. */
export function TextField({ id, label, value, autofocus = false, secret = false, onChange }: Props) {
  return (
    <>
      <label for={id}>{label}</label>
      <input
        id={id}
        class="field"
        {...(secret ? { type: 'password' } : { type: 'text' })}
        value={value}
        autofocus={autofocus}
        autocomplete={secret ? 'new-password' : 'off'}
        spellcheck={false}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </>
  )
}
