import { Qcow2Error } from '../errors.js'

/** Names and codes under which browsers and Node say that there is no room. */
const full = ['QuotaExceededError', 'ENOSPC', 'EDQUOT', 'NS_ERROR_FILE_NO_DEVICE_SPACE']

/** The error where a storage has no room for what is written at `offset`. */
export function quota(offset: number, cause?: unknown): Qcow2Error {
  const reason = 'There is no room for what is written: the disk is full, or what the browser grants this page.'
  return new Qcow2Error('QUOTA', reason, { offset, cause })
}

/** `error`, or the one that says that there is no room if that is what it means. */
export function quotaOr(error: unknown, offset: number): unknown {
  const { name, code } = (error ?? {}) as { readonly name?: unknown; readonly code?: unknown }
  return full.some((each) => each === name || each === code) ? quota(offset, error) : error
}
