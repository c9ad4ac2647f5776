import { Qcow2Error } from './errors.js'

/** The error of what `qcow2-web/read` lacks; `what` begins its sentence. */
export function notInReader(what: string): Qcow2Error {
  return new Qcow2Error('NOT_IN_READER', `${what} takes the whole package: import from 'qcow2-web' instead.`)
}
