import type { ComponentChildren } from 'preact'
import type { ChangedBase, MissingFile } from './engine/protocol'
import { nameIn } from './engine/source'
import type { Question } from './state/stage'
import { Dialog } from './ui/dialog'
import { FileButton } from './ui/file-button'

const fileName = (path: string) => path.split(/[\\/]/).pop() || path

/** What is asked about a file that the image names. A name is never followed unless the person agrees. */
interface Words {
  title: string
  reason: ComponentChildren
  /** What the image has recorded: a name, and what else is known of the file. */
  recorded: [name: string, more: string]
  note: string
  /** Names the choice of a file, to assistive tools too. */
  choose: string
  choice: string
  /** Where the file can be read from instead. */
  address: string | null
  /** The button that continues without another file. */
  otherwise: { kind: 'without' | 'accept'; label: string }
}

/** Asks for a file that the image names, or whether the given file is the right one. */
export function FileQuestionDialog({ missing, answer }: Question<MissingFile | ChangedBase>) {
  const { title, reason, recorded, note, choose, choice, address, otherwise } =
    missing.role === 'changed' ? changedWords(missing) : missingWords(missing)
  return (
    <Dialog title={title} onClose={() => answer({ kind: 'cancel' })}>
      <p>{reason}</p>
      <div class="recorded">
        <code>{recorded[0] || '(no name is recorded)'}</code>
        <br />
        <span>{recorded[1]}</span>
      </div>
      <p>{note}</p>
      <div class="actions">
        {address && (
          <button
            type="button"
            class="button primary"
            autofocus
            onClick={() => answer({ kind: 'file', file: { url: address } })}
          >
            Read it from {new URL(address).host}
          </button>
        )}
        <FileButton
          class={address ? '' : 'primary'}
          label={choose}
          autofocus={!address}
          onFile={(file) => answer({ kind: 'file', file })}
        >
          {choice}
        </FileButton>
        <button type="button" class="button" onClick={() => answer({ kind: otherwise.kind })}>
          {otherwise.label}
        </button>
        <button type="button" class="button quiet" onClick={() => answer({ kind: 'cancel' })}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}

function missingWords({ role, name, format, depth, wantedBy, address }: MissingFile): Words {
  const backing = role === 'backing'
  const kind = backing ? 'backing file' : 'data file'
  const order = backing && depth > 1 ? `, file ${depth} of the backing chain` : ''
  return {
    title: `Where is the ${kind}?`,
    reason: (
      <>
        <b>{wantedBy || 'This image'}</b>{' '}
        {backing
          ? 'stores only what differs from another image. Choose that one too, to see the whole disk.'
          : 'stores its data in another file, and only the tables here.'}
      </>
    ),
    recorded: [
      name,
      `${format ? `Recorded format: ${format}` : backing ? 'No format is recorded' : 'Raw data'}${order}`,
    ],
    note: 'It can be opened without, too: what that file holds then reads as zeros.',
    choose: `The ${kind}`,
    choice: `Choose ${fileName(address ?? name) || 'the file'}…`,
    address,
    otherwise: { kind: 'without', label: 'Open without it' },
  }
}

function changedWords({ name, recorded, wantedBy, difference }: ChangedBase): Words {
  const image = <b>{wantedBy || 'This image'}</b>
  const given = <b>{name}</b>
  const words = {
    name: {
      title: 'Is this the backing file?',
      reason: (
        <>
          {image} was made over a file of another name than {given}.
        </>
      ),
      note: 'If the file was only renamed, use it. Over another one the disk is a mixture of the two.',
      choose: 'The backing file',
    },
    size: {
      title: 'Is this the backing file?',
      reason: (
        <>
          The disk of {given} is larger than the one of {image}, which was most likely made over another file.
        </>
      ),
      note: 'Over another file the disk is a mixture of the two.',
      choose: 'The backing file',
    },
    content: {
      title: 'The backing file has changed',
      reason: (
        <>
          {image} stores only what differs from a backing file. {given} is another file than the one that the image was
          made over: its length or its content differs.
        </>
      ),
      note: 'Choose the file as it was. Over another one the disk is a mixture of the two, unless you know that both hold the same bytes.',
      choose: 'The backing file as it was',
    },
  }[difference]
  return {
    ...words,
    recorded: [nameIn(recorded), recorded.slice(nameIn(recorded).length + 1)],
    choice: 'Choose another file…',
    address: null,
    otherwise: { kind: 'accept', label: 'Use it all the same' },
  }
}
