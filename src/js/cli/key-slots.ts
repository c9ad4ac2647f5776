import type { Qcow2 } from '../index.js'
import { isQcow2Error } from '../index.js'
import { Failure } from './failure.js'
import type { Values } from './format-options.js'
import type { Secrets } from './secrets.js'

/** What a change of key slots needs besides its options. */
export interface KeyContext {
  /** What the image was opened with. */
  readonly passphrase: Uint8Array | undefined
  /** Allows the last slot to be erased. */
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
  try {
    if (state === 'active') {
      if (!fresh) throw new Failure("'new-secret' is required to activate a keyslot")
      if (old) throw new Failure("'old-secret' must not be given when activating keyslots")
      if (!passphrase) throw new Failure("Parameter 'encrypt.key-secret' is required for cipher")
      await image.keySlots.create(passphrase, fresh, { iterationTime: time === undefined ? 2000 : Number(time) })
      return
    }
    if (fresh) throw new Failure("'new-secret' must not be given when erasing keyslots")
    if (time !== undefined) throw new Failure("'iter-time' must not be given when erasing keyslots")
    if (slot === undefined) {
      if (old)
        throw new Failure('Erasing keyslots by their passphrase is not supported: name the slot with encrypt.keyslot')
      throw new Failure(
        'To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given',
      )
    }
    const slots = await image.keySlots.list()
    const number = Number(slot)
    if (!slots[number]) throw new Failure(`Invalid keyslot index ${slot}`)
    if (!force && slots[number].active && slots.filter(({ active }) => active).length === 1) {
      throw new Failure(
        'Attempt to erase the only active keyslot  which will erase all the data in the image irreversibly - refusing operation',
      )
    }
    await image.keySlots.delete(number)
  } catch (error) {
    throw isQcow2Error(error) ? new Failure(error.reason.replace(/\.$/, '')) : error
  }
}
