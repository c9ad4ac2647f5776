import { Qcow2Error } from '../base/errors.js'
import { FilesError } from './errors.js'

/**
 * What `check` returns. An argument that the checks of `base/arguments.ts` refuse is refused with this module's error.
 *
 * @throws {@link FilesError} `INVALID`.
 */
export function valid<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw error instanceof Qcow2Error ? new FilesError('INVALID', error.reason) : error
  }
}
