import { isAbsolute, join } from 'node:path'

/** What the command needs of the program that runs it; tests supply their own. */
export interface Host {
  /** The directory that relative paths start from. */
  readonly cwd: string
  /** Writes to the standard output. */
  out(text: string): void
  /** Writes to the standard error output. */
  err(text: string): void
  /** The folder of the built viewer, if it is not in the package. */
  readonly viewer?: string | undefined
  /** Ends commands that otherwise run until the program is ended. */
  readonly signal?: AbortSignal | undefined
  /** Calls `report` when the user asks for progress (SIGUSR1); returns a function that stops it. */
  onProgressRequest?(report: () => void): () => void
}

/** Where the host finds a file that is named relative to its directory. */
export function located(host: Host, name: string): string {
  // An empty name is no directory.
  return isAbsolute(name) || name === '' ? name : join(host.cwd, name)
}
