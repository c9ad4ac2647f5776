import { isDetached } from '../base/arguments.js'
import { FilesError } from './errors.js'
import type { Unlocked } from './luks/container.js'
import type { Session } from './session.js'
import type { Scan, VolumeInfo } from './values.js'

/** A volume in a container, and the calls to it. */
interface Inside {
  readonly info: VolumeInfo
  readonly session: Session
}

/** Unlocks the container `id` and finds what it makes readable. */
export async function unlockContainer(
  session: Session,
  id: string,
  passphrase: string | Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Inside[]> {
  const secret = secretBytes(passphrase)
  try {
    const { unlocked } = session
    const container = await keyFor(session.another({ unlocked, unlocks: true }), id, secret, signal)
    // A parser of its own: the one that derived the key has grown by what that took.
    const scanning = session.another({ unlocked, unlocks: true })
    try {
      const before = await scanning.call<Scan>({ method: 'scan', args: [] }, signal)
      await scanning.call({ method: 'use', args: [container] }, signal)
      const after = await scanning.call<Scan>({ method: 'scan', args: [] }, signal)
      const known = new Set(before.volumes.map(shown))
      const found = after.volumes.filter((info) => info.id !== id && !known.has(shown(info)))
      const purpose = { unlocked: [...unlocked, container] }
      return found.map((info) => ({ info, session: session.another({ ...purpose, volume: info.id }) }))
    } finally {
      scanning.close()
    }
  } finally {
    secret.fill(0)
  }
}

/** What differs once a volume can be read: a logical volume may have had only a part of its devices. */
function shown({ id, type, problem }: VolumeInfo): string {
  return JSON.stringify([id, type, problem])
}

async function keyFor(
  session: Session,
  id: string,
  secret: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Unlocked> {
  // A derivation does not look up until it is done: its worker is ended.
  const stop = () => session.close()
  signal?.addEventListener('abort', stop)
  try {
    return await session.call<Unlocked>({ method: 'unlock', args: [id, secret] }, signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
    session.close()
  }
}

/** A copy, which is wiped when it has been used. */
function secretBytes(passphrase: unknown): Uint8Array {
  if (typeof passphrase === 'string') return new TextEncoder().encode(passphrase)
  if (passphrase instanceof Uint8Array && !isDetached(passphrase)) return new Uint8Array(passphrase)
  throw new FilesError('INVALID', `The passphrase must be a string or a Uint8Array; it is ${typeof passphrase}.`)
}
