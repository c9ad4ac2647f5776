import { useState } from 'preact/hooks'
import { askOfKeySlots, changeKeySlots, keySlotWork } from '../state/key-slots'
import { isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { FormActions } from '../ui/form-actions'
import { ProblemText } from '../ui/problem-text'
import { TextField } from '../ui/text-field'
import { WorkShown } from '../ui/work'

const WORDS = {
  add: {
    title: 'Add a passphrase',
    known: 'One that opens it',
    what: 'The image opens by it as well as by those that it has. It takes an empty slot.',
    act: 'Add',
  },
  change: {
    title: 'Change a passphrase',
    known: 'The old one',
    what: 'The new one opens the image in place of the old one. Copies of the file from before still open by that.',
    act: 'Change',
  },
}

/** Asks for a passphrase that opens the image, and for a new one, twice. They stay in this page. */
export function PassphraseDialog({ kind }: { kind: 'add' | 'change' }) {
  const [known, setKnown] = useState('')
  const [passphrase, setPassphrase] = useState('')
  const [again, setAgain] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const words = WORDS[kind]
  const running = isRunning(keySlotWork.value)
  const close = () => askOfKeySlots(null)
  const onSubmit = (event: Event) => {
    event.preventDefault()
    const wrong =
      passphrase === ''
        ? 'Write a new passphrase.'
        : passphrase !== again
          ? 'The new passphrase is not the same the second time.'
          : null
    setProblem(wrong)
    if (!wrong) void changeKeySlots({ kind, known, passphrase })
  }
  return (
    <Dialog title={words.title} onClose={close}>
      <p>{words.what}</p>
      <form onSubmit={onSubmit}>
        <div class="new-image">
          <TextField secret id="slot-known" label={words.known} value={known} autofocus onChange={setKnown} />
          <TextField secret id="slot-new" label="The new one" value={passphrase} onChange={setPassphrase} />
          <TextField secret id="slot-again" label="Once more" value={again} onChange={setAgain} />
        </div>
        {problem ? <ProblemText>{problem}</ProblemText> : <WorkShown work={keySlotWork.value} />}
        <FormActions label={words.act} disabled={running} cancel="Close" onCancel={close} />
      </form>
    </Dialog>
  )
}
