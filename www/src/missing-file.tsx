import type { MissingFile } from './engine/protocol'
import { addressIn } from './engine/source'
import type { Question } from './state/stage'
import { Dialog } from './ui/dialog'
import { FileButton } from './ui/file-button'

const fileName = (path: string) => path.split(/[\\/]/).pop() || path

/** Asks for a file that the image names. A name is never followed unless the person says so. */
export function MissingFileDialog({ missing, answer }: Question<MissingFile>) {
  const backing = missing.role === 'backing'
  const role = backing ? 'backing file' : 'data file'
  const address = backing ? addressIn(missing.name) : null
  const order = backing && missing.depth > 1 ? `, file ${missing.depth} of the backing chain` : ''
  return (
    <Dialog title={`Where is the ${role}?`} onClose={() => answer({ kind: 'cancel' })}>
      <p>
        <b>{missing.wantedBy || 'This image'}</b>{' '}
        {backing
          ? 'stores only what differs from another image. Choose that one too, to see the whole disk.'
          : 'stores its data in another file, and only the tables here.'}
      </p>
      <div class="recorded">
        <code>{missing.name || '(no name is recorded)'}</code>
        <br />
        <span>
          {missing.format ? `Recorded format: ${missing.format}` : backing ? 'No format is recorded' : 'Raw data'}
          {order}
        </span>
      </div>
      <p>It can be opened without, too: what that file holds then reads as zeros.</p>
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
          label={`The ${role}`}
          autofocus={!address}
          onFile={(file) => answer({ kind: 'file', file })}
        >
          Choose {fileName(address ?? missing.name) || 'the file'}…
        </FileButton>
        <button type="button" class="button" onClick={() => answer({ kind: 'without' })}>
          Open without it
        </button>
        <button type="button" class="button quiet" onClick={() => answer({ kind: 'cancel' })}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}
