import { Notice } from '../src/ui/notice'

/** Asks what to do where the disk's file is another one than the machine was made over. */
export function ChangedDisk({ onKeep, onStartAnew }: { onKeep: () => void; onStartAnew: () => void }) {
  return (
    <Notice
      tone="warn"
      action={
        <>
          <button type="button" class="button" onClick={onStartAnew}>
            Start anew
          </button>
          <button type="button" class="button" onClick={onKeep}>
            Use it all the same
          </button>
        </>
      }
    >
      <b>The disk has changed since this machine was made.</b> What the machine wrote belongs to the disk as it was.
      Start anew to remove that, with all saved machines. Use it all the same only if you know that both disks hold the
      same bytes: otherwise the machine sees a mixture of the two.
    </Notice>
  )
}
