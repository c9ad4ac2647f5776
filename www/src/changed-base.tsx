import type { ChangedBase } from './engine/protocol'
import { nameIn } from './engine/source'
import type { Question } from './state/stage'
import { Dialog } from './ui/dialog'
import { FileButton } from './ui/file-button'

/** Asks what to do where a backing file is not the one that the image was made over. */
export function ChangedBaseDialog({ missing, answer }: Question<ChangedBase>) {
  const { name, recorded, wantedBy } = missing
  return (
    <Dialog title="The backing file has changed" onClose={() => answer({ kind: 'cancel' })}>
      <p>
        <b>{wantedBy || 'This image'}</b> stores only what differs from a backing file. <b>{name}</b> is another file
        than the one that the image was made over: its length or its content differs.
      </p>
      <div class="recorded">
        <code>{nameIn(recorded)}</code>
        <br />
        <span>{recorded.slice(nameIn(recorded).length + 1)}</span>
      </div>
      <p>
        Choose the file as it was. Over another one the disk is a mixture of the two, unless you know that both hold the
        same bytes.
      </p>
      <div class="actions">
        <FileButton
          class="primary"
          label="The backing file as it was"
          autofocus
          onFile={(file) => answer({ kind: 'file', file })}
        >
          Choose another file…
        </FileButton>
        <button type="button" class="button" onClick={() => answer({ kind: 'accept' })}>
          Use it all the same
        </button>
        <button type="button" class="button quiet" onClick={() => answer({ kind: 'cancel' })}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
