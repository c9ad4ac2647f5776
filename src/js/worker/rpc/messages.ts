import type { Progress } from '../../base/progress.js'
import type { Thrown } from './thrown.js'

/** The version of what crosses. A page and a worker of different versions refuse each other. */
export const protocolVersion = 4

/** What the two sides post to each other; messages without `qcow2` are not the package's. */
export type Message =
  | Call
  /** The result of a call is no longer needed. */
  | { readonly qcow2: 'cancel'; readonly id: number }
  /** How much of a call is done. */
  | { readonly qcow2: 'progress'; readonly id: number; readonly progress: Progress }
  | { readonly qcow2: 'value'; readonly id: number; readonly value: unknown }
  | { readonly qcow2: 'error'; readonly id: number; readonly error: Thrown }

/** A call of one of the other side's methods. */
export interface Call {
  readonly qcow2: 'call'
  /** A number that its caller has given to no other call. */
  readonly id: number
  readonly method: string
  readonly args: readonly unknown[]
  /** True if the caller may cancel it. */
  readonly cancellable: boolean
  /** True if the caller wants the progress. */
  readonly watched: boolean
}
