/** Ends a command: its message goes to the standard error output, its code becomes the exit code. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly exitCode: number = 1,
  ) {
    super(message)
  }
}

/** A mistake in the arguments, after which the command names its help. */
export class UsageError extends Error {
  constructor(
    message: string,
    /** False where the message already names the program. */
    readonly prefixed: boolean = true,
  ) {
    super(message)
  }
}

/** The name that messages begin with: scripts that were written for qemu-img find what they expect. */
export const program = 'qemu-img'
