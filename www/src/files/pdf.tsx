import { signal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { FileEntry } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { VolumeAt } from '../engine/protocol'
import { forgetWork, isRunning, type Work, work } from '../state/work'
import { WorkShown } from '../ui/work'

/** How long the address of a document is valid, in milliseconds: the tab reads it when it opens. */
const GOOD_FOR = 60_000

/** Whether bytes begin as a document does; some have a few bytes before. */
export const isPdf = (bytes: Uint8Array): boolean => String.fromCharCode(...bytes.subarray(0, 1024)).includes('%PDF-')

/** Browsers show no documents in frames that can run nothing, so a document gets a tab of its own. */
export function Pdf({ at, entry }: { at: VolumeAt; entry: FileEntry }) {
  const opening = useMemo(() => signal<Work | null>(null), [])
  useEffect(() => () => forgetWork(opening), [])
  const open = () =>
    work(opening, `Reading ${entry.name}`, async (signal, onProgress) => {
      const { blob } = await engine.extractFile(at, entry.path, onProgress, signal)
      const url = URL.createObjectURL(new Blob([blob], { type: 'application/pdf' }))
      const tab = window.open(url)
      setTimeout(() => URL.revokeObjectURL(url), GOOD_FOR)
      if (!tab) throw new Error('the browser has blocked the tab. Allow it, or extract the file.')
      tab.opener = null
    })
  return (
    <div class="pdf">
      <p class="soft">This is a PDF document. The browser shows it in a tab of its own, from this page’s memory.</p>
      <WorkShown work={opening.value} />
      {!isRunning(opening.value) && (
        <button type="button" class="button" onClick={() => void open()}>
          Open in a new tab
        </button>
      )}
    </div>
  )
}
