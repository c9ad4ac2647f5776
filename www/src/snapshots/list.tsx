import { useState } from 'preact/hooks'
import type { Snapshot } from 'qcow2-web'
import { Locked } from '../edit/locked'
import type { OpenedImage } from '../engine/protocol'
import { busy } from '../state/busy'
import { go, route } from '../state/route'
import { compare, type SnapshotAction, snapshotWork, takeSnapshot } from '../state/snapshots'
import { isRunning } from '../state/work'
import { Size } from '../ui/size'
import { useLimit } from '../ui/use-limit'
import { WorkShown } from '../ui/work'
import { formatDate, formatVmClock, isoDate } from '../values/time'
import { ActionDialog } from './action'
import { ComparisonCard } from './comparison'
import { TakeForm } from './take'

/** The snapshots of an image: to look at and to compare, and while it is edited to take and to go back to. */
export function SnapshotList({ image }: { image: OpenedImage }) {
  const [shown, more] = useLimit(image.snapshots)
  const [asked, setAsked] = useState<SnapshotAction | null>(null)
  return (
    <div class="stack">
      {image.editing ? (
        <TakeForm onTake={(name) => void takeSnapshot(name)} />
      ) : (
        <Locked image={image}>Edit the image to take a snapshot, or to go back to one.</Locked>
      )}
      <WorkShown work={snapshotWork.value} />
      {image.snapshots.length === 0 ? (
        <div class="card empty">
          <h2>No snapshots</h2>
          <p>This image holds one disk and no earlier states of it.</p>
        </div>
      ) : (
        <div class="card wide-table">
          <table class="list stacks">
            <caption class="visually-hidden">Snapshots</caption>
            <thead>
              <tr>
                <th scope="col">Id</th>
                <th scope="col">Name</th>
                <th scope="col">Date</th>
                <th scope="col" class="end">
                  VM clock
                </th>
                <th scope="col" class="end">
                  VM state
                </th>
                <th scope="col" class="end">
                  Disk size
                </th>
                <td />
              </tr>
            </thead>
            <tbody>
              {shown.map((snapshot) => (
                <Row key={snapshot.id} snapshot={snapshot} image={image} ask={setAsked} />
              ))}
            </tbody>
          </table>
          {more}
        </div>
      )}
      <ComparisonCard snapshots={image.snapshots} />
      {asked && <ActionDialog action={asked} onClose={() => setAsked(null)} />}
    </div>
  )
}

interface RowProps {
  snapshot: Snapshot
  image: OpenedImage
  ask(action: SnapshotAction): void
}

function Row({ snapshot, image, ask }: RowProps) {
  const shown = route.value.snapshot === snapshot.id
  const name = snapshot.name || snapshot.id
  return (
    <tr class={shown ? 'current' : ''}>
      <td class="number" data-label="Id">
        {snapshot.id}
      </td>
      <th scope="row">{snapshot.name}</th>
      <td title={isoDate(snapshot.dateSec)}>{formatDate(snapshot.dateSec)}</td>
      <td class="end mono" data-label="VM clock">
        {formatVmClock(snapshot.vmClockNsec)}
      </td>
      <td class="end" data-label="VM state">
        {snapshot.vmStateSize ? <Size bytes={snapshot.vmStateSize} /> : <span class="soft">none</span>}
      </td>
      <td class="end" data-label="Disk">
        <Size bytes={snapshot.diskSize ?? image.info.virtualSize} />
      </td>
      <td class="end">
        <span class="row-actions">
          <Action label={`Compare snapshot ${name} with the disk`} onClick={() => void compare(snapshot)}>
            Compare
          </Action>
          {image.editing && (
            <>
              <Action label={`Go back to snapshot ${name}`} changes onClick={() => ask({ kind: 'apply', snapshot })}>
                Go back
              </Action>
              <Action label={`Rename snapshot ${name}`} changes onClick={() => ask({ kind: 'rename', snapshot })}>
                Rename
              </Action>
              <Action label={`Delete snapshot ${name}`} changes onClick={() => ask({ kind: 'delete', snapshot })}>
                Delete
              </Action>
            </>
          )}
          <Action
            label={shown ? `Leave snapshot ${snapshot.name}` : `Open snapshot ${snapshot.name}`}
            onClick={() => go({ snapshot: shown ? null : snapshot.id, of: 'disk' }, 'push')}
          >
            {shown ? 'Leave' : 'Open'}
          </Action>
        </span>
      </td>
    </tr>
  )
}

interface ActionProps {
  label: string
  /** It changes the image, rather than looking at it. */
  changes?: boolean
  children: string
  onClick(): void
}

function Action({ label, changes = false, children, onClick }: ActionProps) {
  const disabled = changes ? busy.value : isRunning(snapshotWork.value)
  return (
    <button type="button" class="button small" aria-label={label} disabled={disabled} onClick={onClick}>
      {children}
    </button>
  )
}
