import type { OptionTable, Parsed } from './getopt.js'
import type { Host } from './host.js'

/** A command: what it takes, and what it does. */
export interface Command {
  /** What it does, in a sentence. */
  readonly summary: string
  /** What may follow the program's name. */
  readonly usage: string
  readonly options: OptionTable
  /** How many arguments at the end are never options, and what is reported where they are missing. */
  readonly trailing?: { readonly count: number; readonly missing: string }
  /** Runs it; returns the exit code. */
  run(host: Host, parsed: Parsed): Promise<number>
}
