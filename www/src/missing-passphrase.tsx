import { useState } from 'preact/hooks'
import type { MissingPassphrase } from './engine/protocol'
import type { Question } from './state/stage'
import { Dialog } from './ui/dialog'
import { FormActions } from './ui/form-actions'
import { ProblemText } from './ui/problem-text'
import { cipherOf } from './values/cipher'

/** Asks for the passphrase of an encrypted file. It stays in the page's worker for as long as the image is open. */
export function MissingPassphraseDialog({ missing, answer }: Question<MissingPassphrase>) {
  const [passphrase, setPassphrase] = useState('')
  const [shown, setShown] = useState(false)
  const { depth, wantedBy, encryption, wrong } = missing
  const onSubmit = (event: Event) => {
    event.preventDefault()
    answer({ kind: 'passphrase', passphrase })
  }
  const order = depth === 0 ? '' : `, file ${depth} of the backing chain`
  return (
    <Dialog title="This image is encrypted" onClose={() => answer({ kind: 'cancel' })}>
      <form onSubmit={onSubmit}>
        <p>
          Its passphrase opens <b>{wantedBy}</b>
          {order}. It does not leave this page.
        </p>
        {encryption && (
          <div class="recorded">
            <span>{cipherOf(encryption)}</span>
          </div>
        )}
        {encryption?.format === 'aes' && (
          <p>
            This old method can’t detect a wrong passphrase: the disk shows noise then. Close the image and try again.
          </p>
        )}
        <div class="passphrase">
          <label for="passphrase">Passphrase</label>
          <input
            id="passphrase"
            class="field"
            {...(shown ? { type: 'text' } : { type: 'password' })}
            value={passphrase}
            autofocus
            autocomplete="off"
            spellcheck={false}
            aria-invalid={wrong}
            aria-describedby={wrong ? 'passphrase-problem' : undefined}
            onInput={(event) => setPassphrase(event.currentTarget.value)}
          />
          <label class="soft">
            <input type="checkbox" checked={shown} onChange={(event) => setShown(event.currentTarget.checked)} /> Show
            it
          </label>
        </div>
        <ProblemText id="passphrase-problem">
          {wrong && 'That passphrase opens none of the image’s key slots. Try another one.'}
        </ProblemText>
        <FormActions label="Open" onCancel={() => answer({ kind: 'cancel' })} />
      </form>
    </Dialog>
  )
}
