/**
 * What went wrong with a volume or a file in it, as a word for programs.
 *
 * - `NOT_FOUND`: there is no file, directory or volume of that name.
 * - `NOT_A_DIRECTORY`, `IS_A_DIRECTORY`, `NOT_A_FILE`, `NOT_A_LINK`: the path leads to something of another kind.
 * - `EXISTS`, `NOT_EMPTY`, `NO_SPACE`, `READ_ONLY`: a write is not possible.
 * - `UNSUPPORTED`: the file system, or a feature that the file needs, is recognised but not supported.
 * - `ENCRYPTED`: the file or the volume is encrypted.
 * - `WRONG_PASSPHRASE`: the passphrase does not open the container.
 * - `DAMAGED`: the file system contradicts its own format, or the disk could not be read.
 * - `LIMIT`: a limit that protects against corrupt file systems was reached.
 * - `INVALID`: an argument is not what it must be.
 * - `TIMEOUT`: the file system took too long, and its worker was ended. The next call starts another one.
 * - `CRASHED`: the module broke down on this volume. Other volumes are not affected.
 * - `CLOSED`: the volume was closed.
 * - `LOAD_FAILED`: the WebAssembly module, or its worker, could not be loaded.
 */
export type FilesErrorCode =
  | 'NOT_FOUND'
  | 'NOT_A_DIRECTORY'
  | 'IS_A_DIRECTORY'
  | 'NOT_A_FILE'
  | 'NOT_A_LINK'
  | 'EXISTS'
  | 'NOT_EMPTY'
  | 'NO_SPACE'
  | 'READ_ONLY'
  | 'UNSUPPORTED'
  | 'ENCRYPTED'
  | 'WRONG_PASSPHRASE'
  | 'DAMAGED'
  | 'LIMIT'
  | 'INVALID'
  | 'TIMEOUT'
  | 'CRASHED'
  | 'CLOSED'
  | 'LOAD_FAILED'

/**
 * An error of a volume. Errors of the disk, and a signal's reason, are thrown as they are.
 *
 * @example
 * ```ts
 * try {
 *   await volume.read('/etc/passwd')
 * } catch (error) {
 *   if (error instanceof FilesError && error.code === 'NOT_FOUND') console.log('There is no such file.')
 * }
 * ```
 */
export class FilesError extends Error {
  /** What kind of error it is. */
  override readonly name = 'FilesError'
  /** What went wrong. */
  readonly code: FilesErrorCode

  /** An error with a code and a message for people. */
  constructor(code: FilesErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** An error as it comes from the module: a sentence without its capital and full stop. */
export function fromModule(thrown: unknown): FilesError {
  const { code, message } = (thrown ?? {}) as { code?: FilesErrorCode; message?: string }
  if (code && message) return new FilesError(code, `${message.charAt(0).toUpperCase()}${message.slice(1)}.`)
  return new FilesError('CRASHED', 'The module for file systems broke down. The volume is likely corrupt.', {
    cause: thrown,
  })
}
