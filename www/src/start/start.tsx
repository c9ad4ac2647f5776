import { useEffect, useRef, useState } from 'preact/hooks'
import { enterFile, enterSample } from '../state/enter'
import { opening, type StartNotice } from '../state/stage'
import { FileButton } from '../ui/file-button'
import { Icon, Mark } from '../ui/icon'
import { Notice } from '../ui/notice'
import { OpeningNow } from '../ui/opening'
import { ThemeButton } from '../ui/theme-button'
import { AddressDialog } from './address'
import { Illustration } from './illustration'
import { NewImageDialog } from './new-image'
import { StoredFiles } from './stored'

export function Start({ notice }: { notice: StartNotice | null }) {
  const [dialog, setDialog] = useState<'new' | 'address' | null>(null)
  const actions = useFocusAfter(opening.value !== null)
  return (
    <div class="start">
      <header class="bar">
        <Mark />
        <span>qcow2-web</span>
        <ThemeButton />
      </header>
      <main>
        <Illustration />
        <h1>Look inside a qcow2 disk image, and change it</h1>
        <p class="lead">
          Drop one anywhere on this page to see the files on it, its partitions and snapshots, where each cluster is
          stored, and every byte of the disk. To change it, choose Edit.
        </p>
        {opening.value ? (
          <OpeningNow opening={opening.value} />
        ) : (
          <div class="actions" ref={actions}>
            <FileButton class="primary" label="A qcow2 image" onFile={(file) => void enterFile(file)}>
              <Icon name="folder" /> Choose an image…
            </FileButton>
            <button type="button" class="button" onClick={() => setDialog('address')}>
              <Icon name="link" /> Open an address…
            </button>
            <button type="button" class="button" onClick={() => setDialog('new')}>
              <Icon name="plus" /> New image…
            </button>
            <button type="button" class="button" onClick={() => void enterSample()}>
              Try a sample
            </button>
            <a class="button" href="./emulator/#image=bootable">
              Boot a sample
            </a>
          </div>
        )}
        <p class="promise">
          <Icon name="lock" /> Nothing is uploaded. The image is read here, by this page, and changed only as you
          choose.
        </p>
        {notice && <Notice tone={notice.tone}>{notice.text}</Notice>}
      </main>
      {dialog === 'new' && <NewImageDialog onClose={() => setDialog(null)} />}
      {dialog === 'address' && <AddressDialog onClose={() => setDialog(null)} />}
      <StoredFiles />
      <section class="claims" aria-label="What it reads">
        <div>
          <h2>Of any size</h2>
          <p>Only what you look at is read, so a 100 GB image opens in a moment.</p>
        </div>
        <div>
          <h2>Of any kind</h2>
          <p>
            Versions 2 and 3, compressed, with snapshots, backing chains and external data files. Raw disks and ISO
            images, too.
          </p>
        </div>
        <div>
          <h2>Down to the bit</h2>
          <p>Follow a byte of the disk through the L1 and L2 tables to its offset in the file.</p>
        </div>
      </section>
    </div>
  )
}

/** The first button has the focus again when an opening that removed the buttons was cancelled. */
function useFocusAfter(isOpening: boolean) {
  const actions = useRef<HTMLDivElement>(null)
  const before = useRef(isOpening)
  useEffect(() => {
    if (before.current && !isOpening && document.activeElement === document.body) {
      actions.current?.querySelector('button')?.focus()
    }
    before.current = isOpening
  }, [isOpening])
  return actions
}
