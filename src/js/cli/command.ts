import type { OptionTable, Parsed } from './getopt.js'
import type { Host } from './host.js'

/** A command: what it takes, and what it does. */
export interface Command {
  /** What it does, in a sentence. */
  readonly summary: string
  /** What may follow the program's name. */
  readonly usage: string
  readonly options: OptionTable
  /** A last argument that matches is never an option. */
  readonly trailing?: RegExp
  /** Runs it; returns the exit code. */
  run(host: Host, parsed: Parsed): Promise<number>
}
