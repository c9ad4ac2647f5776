import type { Snapshot } from 'qcow2-web'
import type { OpenedImage } from '../engine/protocol'
import { go, route } from '../state/route'
import { Size } from '../ui/size'
import { useLimit } from '../ui/use-limit'
import { formatDate, formatVmClock, isoDate } from '../values/time'

export function SnapshotList({ image }: { image: OpenedImage }) {
  const [shown, more] = useLimit(image.snapshots)
  if (image.snapshots.length === 0) {
    return (
      <div class="card empty">
        <h2>No snapshots</h2>
        <p>
          This image holds one disk and no earlier states of it. <code>qemu-img snapshot -c NAME</code> makes one.
        </p>
      </div>
    )
  }
  return (
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
            <Row key={snapshot.id} snapshot={snapshot} diskSize={image.info.virtualSize} />
          ))}
        </tbody>
      </table>
      {more}
    </div>
  )
}

function Row({ snapshot, diskSize }: { snapshot: Snapshot; diskSize: number }) {
  const shown = route.value.snapshot === snapshot.id
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
        <Size bytes={snapshot.diskSize ?? diskSize} />
      </td>
      <td class="end">
        <button
          type="button"
          class="button small"
          aria-label={shown ? `Leave snapshot ${snapshot.name}` : `Open snapshot ${snapshot.name}`}
          onClick={() => go({ snapshot: shown ? null : snapshot.id, of: 'disk' }, 'push')}
        >
          {shown ? 'Leave' : 'Open'}
        </button>
      </td>
    </tr>
  )
}
