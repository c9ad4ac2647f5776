import type { Snapshot } from '../index.js'
import { humanSize } from './sizes.js'

/** The list of an image's snapshots, as `info` and `snapshot -l` print it. */
export function snapshotLines(snapshots: readonly Snapshot[]): string[] {
  return ['Snapshot list:', row('ID', 'TAG', 'VM_SIZE', 'DATE', 'VM_CLOCK', 'ICOUNT'), ...snapshots.map(line)]
}

function line({ id, name, vmStateSize, dateSec, vmClockNsec, icount }: Snapshot): string {
  const count = icount === undefined ? '' : String(icount)
  return row(id, name, humanSize(vmStateSize), localTime(dateSec), clock(vmClockNsec), count)
}

function row(id: string, tag: string, size: string, date: string, vmClock: string, icount: string): string {
  const wide = [
    id.padEnd(7),
    tag.padEnd(16),
    size.padStart(8),
    date.padStart(19),
    vmClock.padStart(15),
    icount.padStart(10),
  ]
  return wide.join(' ')
}

function localTime(seconds: number): string {
  const date = new Date(seconds * 1000)
  const [year, month, day] = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())]
  return `${year}-${month}-${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

function clock(nanoseconds: bigint): string {
  const seconds = nanoseconds / 1_000_000_000n
  const [hours, minutes] = [seconds / 3600n, (seconds / 60n) % 60n]
  const milliseconds = (nanoseconds / 1_000_000n) % 1000n
  return `${String(hours).padStart(4, '0')}:${two(minutes)}:${two(seconds % 60n)}.${String(milliseconds).padStart(3, '0')}`
}

const two = (value: number | bigint) => String(value).padStart(2, '0')
