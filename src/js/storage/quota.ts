import { codeOf, Qcow2Error } from '../base/errors.js'

/** The error where a storage has no room for what is written at `offset`. */
export function quota(offset: number, cause?: unknown): Qcow2Error {
  const reason = 'There is no room for what is written: the disk is full, or what the browser grants this page.'
  return new Qcow2Error('QUOTA', reason, { offset, cause })
}

/** `error`, or the error with code `QUOTA` if it means that there is no room. */
export function quotaOr(error: unknown, offset: number): unknown {
  return codeOf(error) === 'QUOTA' ? quota(offset, error) : error
}
