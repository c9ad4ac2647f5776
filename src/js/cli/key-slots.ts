import type { Qcow2 } from '../index.js'
import { isQcow2Error } from '../index.js'
import { Failure } from './failure.js'
import type { Values } from './format-options.js'
import type { Secrets } from './secrets.js'

/** What a change of key slots needs besides its options. */
export interface KeyContext {
  /** What the image was opened with. */
  readonly passphrase: Uint8Array | undefined
  /** Erases a slot that is inactive again. */
  readonly force: boolean
}

/** Changes the key slots of an image as `amend -o encrypt.state=…` does. */
export async function amendKeySlots(
  image: Qcow2,
  values: Values,
  secrets: Secrets,
  { passphrase, force }: KeyContext,
): Promise<void> {
  const state = values.get('encrypt.state')
  if (state === undefined) throw new Failure("Parameter 'state' is missing")
  if (state !== 'active' && state !== 'inactive')
    throw new Failure(`Parameter 'state' does not accept value '${state}'`)
  const [slot, time] = [values.get('encrypt.keyslot'), values.get('encrypt.iter-time')]
  const secret = (name: string) => {
    const id = values.get(name)
    if (id === undefined) return undefined
    const found = secrets.get(id)
    if (!found) throw new Failure(`No secret with id '${id}'`)
    return found
  }
  const [fresh, old] = [secret('encrypt.new-secret'), secret('encrypt.old-secret')]
  const slots = await image.keySlots.list()
  const number = slot === undefined ? undefined : Number(slot)
  if (number !== undefined && !slots[number]) {
    throw new Failure(`Invalid keyslot ${number >>> 0} specified, must be between 0 and 7`)
  }
  if (state === 'active') {
    if (!fresh) throw new Failure("'new-secret' is required to activate a keyslot")
    if (old) throw new Failure("'old-secret' must not be given when activating keyslots")
    if (!passphrase) throw new Failure("Parameter 'encrypt.key-secret' is required for cipher")
    const iterationTime = time === undefined ? 2000 : Number(time)
    return done(image.keySlots.create(passphrase, fresh, { iterationTime, slot: number }), {
      KEY_SLOTS_FULL: "Can't add a keyslot - all keyslots are in use",
      KEY_SLOT_IN_USE: `Refusing to overwrite active keyslot ${number} - please erase it first`,
    })
  }
  if (fresh) throw new Failure("'new-secret' must not be given when erasing keyslots")
  if (time !== undefined) throw new Failure("'iter-time' must not be given when erasing keyslots")
  const loses = 'which will erase all the data in the image irreversibly - refusing operation'
  const only = `Attempt to erase the only active keyslot ${number} ${loses}`
  if (old) {
    return done(image.keySlots.delete({ passphrase: old, slot: number }), {
      WRONG_PASSPHRASE:
        number === undefined
          ? 'No keyslots match given (old) password for erase operation'
          : `Given keyslot ${number} doesn't contain the given old password for erase operation`,
      LAST_KEY_SLOT:
        number === undefined
          ? `All the active keyslots match the (old) password that was given and erasing them ${loses.slice(6)}`
          : only,
    })
  }
  if (number === undefined) {
    throw new Failure(
      'To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given',
    )
  }
  if (!force && !slots[number]?.active) throw new Failure(`Given keyslot ${number} is already erased (inactive) `)
  return done(image.keySlots.delete(number), { LAST_KEY_SLOT: only })
}

/** Waits for a change, and reports its error in QEMU's words, which are `words` for the codes that have any. */
async function done(change: Promise<unknown>, words: Readonly<Record<string, string>>): Promise<void> {
  try {
    await change
  } catch (error) {
    throw isQcow2Error(error) ? new Failure(words[error.code] ?? error.reason.replace(/\.$/, '')) : error
  }
}
