import { optionsIn, small } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Handle } from '../engine/handle.js'
import { hostKeyOptions, type KeyOptions } from '../engine/options/encryption.js'
import { type Passphrase, passphraseBytes } from '../engine/options/passphrase.js'
import type { KeySlot } from '../engine/values.js'

/** How a key slot is filled. Progress is reported in iterations. */
export interface KeySlotOptions extends KeyOptions, LongOptions {}

/**
 * The key slots of an image that is encrypted by LUKS: each of the eight holds the image's key under a passphrase of its own. They
 * are numbered from 0.
 *
 * What changes them is durable when it is done, and an interruption leaves the passphrases of before or those of after. It
 * needs an image that is open for writing. The image's data is not touched: the owner of an older copy of the file can
 * still open that by the old passphrases.
 *
 * @example
 * ```ts
 * await image.keySlots.create(passphrase, another)
 * for (const { active } of await image.keySlots.list()) console.log(active)
 * ```
 */
export class KeySlots {
  readonly #handle: Handle

  /** @internal */
  constructor(handle: Handle) {
    this.#handle = handle
  }

  /**
   * What is known of each slot now, in their order.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_KEY_SLOT` where the image is not encrypted by LUKS, and what reading leads to.
   */
  async list(options: RequestOptions = {}): Promise<readonly KeySlot[]> {
    const { encryption } = await this.#handle.run('info', [], options)
    if (encryption?.format === 'luks') return encryption.keySlots
    throw new Qcow2Error('NO_SUCH_KEY_SLOT', 'The image has no key slots, because it is not encrypted by LUKS.')
  }

  /**
   * Lets one more passphrase open the image.
   *
   * @param existing a passphrase that opens it.
   * @returns the number of the slot that was filled.
   * @throws {@link Qcow2Error} `WRONG_PASSPHRASE` for `existing`, `KEY_SLOTS_FULL`, `NO_SUCH_KEY_SLOT` where the image is not
   * encrypted by LUKS, `CANCELLED`, and what {@link Qcow2.write} rejects with.
   */
  async create(existing: Passphrase, passphrase: Passphrase, options: KeySlotOptions = {}): Promise<number> {
    return this.#fill('add_passphrase', existing, passphrase, options)
  }

  /**
   * Replaces a passphrase that opens the image by another. It goes into another slot: the old one is erased when the new one
   * is there.
   *
   * @returns the number of the new slot.
   * @throws {@link Qcow2Error} as {@link KeySlots.create}.
   */
  async change(old: Passphrase, passphrase: Passphrase, options: KeySlotOptions = {}): Promise<number> {
    return this.#fill('change_passphrase', old, passphrase, options)
  }

  /**
   * Erases a slot: its passphrase doesn't open the image any more.
   *
   * @throws {@link Qcow2Error} `LAST_KEY_SLOT` where no other is active, `NO_SUCH_KEY_SLOT`, and what {@link Qcow2.write}
   * rejects with.
   */
  async delete(slot: number, options: RequestOptions = {}): Promise<void> {
    await this.#handle.run('erase_key_slot', [small(slot, 'The slot')], options)
  }

  async #fill(
    method: 'add_passphrase' | 'change_passphrase',
    known: Passphrase,
    added: Passphrase,
    options: KeySlotOptions,
  ): Promise<number> {
    const keys = hostKeyOptions(optionsIn(options))
    const [old, passphrase] = [passphraseBytes(known, 'A passphrase'), passphraseBytes(added, 'A passphrase')]
    try {
      return (await this.#handle.run(method, [old, passphrase, keys], options)).slot
    } finally {
      for (const bytes of [old, passphrase]) bytes.fill(0)
    }
  }
}
