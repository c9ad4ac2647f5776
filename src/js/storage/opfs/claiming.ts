import type { Claiming } from '../held-lock.js'
import { type ClaimOptions, lock } from '../lock.js'
import type { OpfsPath } from './path.js'

/** What locks the file at a path. */
export function claiming(path: OpfsPath, claim: ClaimOptions = {}): Claiming {
  const name = [...path.directories, path.name].join('/')
  return (opening, user, writable) => lock('opfs', name, !writable, claim, opening, user)
}
