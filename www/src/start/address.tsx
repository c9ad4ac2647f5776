import { useState } from 'preact/hooks'
import { enterStored, enterUrl } from '../state/enter'
import { makeOverlay, overlaying } from '../state/overlay'
import { forgetWork, isRunning } from '../state/work'
import { Dialog } from '../ui/dialog'
import { ProblemText } from '../ui/problem-text'
import { WorkShown } from '../ui/work'

/** Asks for the address of an image on a server, to look at it, or to make one over it that the browser keeps. */
export function AddressDialog({ onClose }: { onClose(): void }) {
  const [address, setAddress] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const busy = isRunning(overlaying.value)

  const url = () => {
    forgetWork(overlaying)
    setProblem(null)
    const text = address.trim()
    if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text
    setProblem('Write the whole address, such as https://example.org/disk.qcow2.')
    return null
  }
  const onOpen = (event: Event) => {
    event.preventDefault()
    const to = url()
    if (to === null) return
    onClose()
    void enterUrl(to)
  }
  const onOverlay = async () => {
    const to = url()
    if (to === null) return
    const path = await makeOverlay(to)
    if (path === null) return
    onClose()
    void enterStored(path)
  }
  const close = () => {
    forgetWork(overlaying)
    onClose()
  }

  return (
    <Dialog title="Open an address" onClose={close}>
      <form onSubmit={onOpen}>
        <input
          class="field wide"
          type="text"
          inputMode="url"
          aria-label="Address of the image"
          placeholder="https://example.org/disk.qcow2"
          value={address}
          autofocus
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setAddress(event.currentTarget.value)}
        />
        <p class="soft">
          Only what you look at is fetched. The server must allow it to other pages (CORS), and be able to send parts of
          the file. To change the disk, make an image over it: that one is kept in this browser, and holds what you
          change.
        </p>
        {problem ? <ProblemText>{problem}</ProblemText> : <WorkShown work={overlaying.value} />}
        <div class="actions">
          <button type="submit" class="button primary" disabled={busy}>
            Open
          </button>
          <button type="button" class="button" disabled={busy} onClick={() => void onOverlay()}>
            Make an image over it
          </button>
          <button type="button" class="button quiet" onClick={close}>
            Close
          </button>
        </div>
      </form>
    </Dialog>
  )
}
