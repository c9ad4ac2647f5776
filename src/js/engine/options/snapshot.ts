import { text } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import type { LongOptions } from '../../base/progress.js'

/** A machine's saved state, as a whole or in segments. */
export type VmStateSource = Uint8Array | ReadableStream<Uint8Array>

/** What {@link Snapshots.create} records. */
export interface SnapshotOptions extends LongOptions {
  /** The time that it records. Default: now. */
  readonly date?: Date | undefined
  /** How long the machine has run, in nanoseconds. Default: 0. */
  readonly vmClockNsec?: bigint | undefined
  /** How many instructions the machine has run, if it counts them. */
  readonly icount?: bigint | undefined
  /**
   * The machine's saved state, as QEMU's `savevm` writes it or in any other form. A stream is read as fast as it can be
   * written.
   */
  readonly vmState?: VmStateSource | undefined
  /**
   * How many bytes the snapshot takes over of the state that {@link Qcow2.writeVmState} wrote; not together with `vmState`.
   * Default: 0, which discards that state.
   */
  readonly vmStateSize?: number | undefined
  /** Called with how many bytes of the state are written; `onProgress` reports the tables, which come after it. */
  readonly onVmState?: ((bytes: number) => void) | undefined
}

/** What a snapshot records, as `src/bridge/host.rs` takes it. */
export interface HostSnapshotOptions {
  readonly name: string
  readonly seconds: number
  readonly nanoseconds: number
  readonly vmClockNsec: bigint
  readonly icount: bigint | undefined
  readonly vmStateSize: bigint
}

/** Checks what kind each option is of. */
export function hostSnapshotOptions(name: string, options: SnapshotOptions, vmStateSize: number): HostSnapshotOptions {
  const { date = new Date(), vmClockNsec = 0n, icount } = options
  const milliseconds = Object.prototype.toString.call(date) === '[object Date]' ? Number(date) : Number.NaN
  // The format counts the seconds since 1970 in 32 bits.
  if (!(milliseconds >= 0 && milliseconds < 2 ** 32 * 1000))
    throw invalidArgument('date must be a Date from 1970 to 2106.')
  return {
    name: text(name, 'The name'),
    seconds: Math.floor(milliseconds / 1000),
    nanoseconds: (milliseconds % 1000) * 1_000_000,
    vmClockNsec: word(vmClockNsec, 'vmClockNsec'),
    icount: icount === undefined ? undefined : word(icount, 'icount'),
    vmStateSize: BigInt(vmStateSize),
  }
}

function word(value: bigint, what: string): bigint {
  if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value
  throw invalidArgument(`${what} must be a bigint of 64 bits.`)
}
