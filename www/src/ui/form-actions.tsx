interface Props {
  /** What the form does when it is submitted. */
  label: string
  disabled?: boolean
  autofocus?: boolean
  cancel?: string
  onCancel(): void
}

/** The last row of a dialog's form: the button that submits it, and the one that cancels. */
export function FormActions({ label, disabled = false, autofocus = false, cancel = 'Cancel', onCancel }: Props) {
  return (
    <div class="actions">
      <button type="submit" class="button primary" disabled={disabled} autofocus={autofocus}>
        {label}
      </button>
      <button type="button" class="button quiet" onClick={onCancel}>
        {cancel}
      </button>
    </div>
  )
}
