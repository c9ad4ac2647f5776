import { optionsIn, small } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { Handle } from '../engine/handle.js'
import { type HostKeyOptions, hostKeyOptions, type KeyOptions } from '../engine/options/encryption.js'
import { type Passphrase, passphraseBytes } from '../engine/options/passphrase.js'
import type { KeySlot } from '../engine/values.js'

/** How a key slot is filled. Progress is reported in iterations. */
export interface KeySlotOptions extends KeyOptions, LongOptions {}

/** How {@link KeySlots.create} fills a key slot. */
export interface NewKeySlotOptions extends KeySlotOptions {
  /** The number of the slot, from 0 to 7, which must be inactive. Default: the first that is. */
  readonly slot?: number | undefined
}

/** The key slots that {@link KeySlots.delete} erases. */
export interface KeySlotsOfPassphrase {
  /** What opens them. */
  readonly passphrase: Passphrase
  /** The number of the only one to erase. Default: all that the passphrase opens. */
  readonly slot?: number | undefined
}

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
   * @throws {@link Qcow2Error} `WRONG_PASSPHRASE` for `existing`, `KEY_SLOTS_FULL`, `KEY_SLOT_IN_USE`, `NO_SUCH_KEY_SLOT` also
   * where the image is not encrypted by LUKS, `CANCELLED`, and what {@link Qcow2.write} rejects with.
   */
  async create(existing: Passphrase, passphrase: Passphrase, options: NewKeySlotOptions = {}): Promise<number> {
    const { slot } = optionsIn(options)
    const number = slot === undefined ? undefined : small(slot, 'slot')
    return this.#fill(options, existing, passphrase, (old, added, keys) =>
      this.#handle.run('add_passphrase', [old, added, number, keys], options),
    )
  }

  /**
   * Replaces a passphrase that opens the image by another. It goes into another slot: the old one is erased when the new one
   * is there.
   *
   * @returns the number of the new slot.
   * @throws {@link Qcow2Error} as {@link KeySlots.create}.
   */
  async change(old: Passphrase, passphrase: Passphrase, options: KeySlotOptions = {}): Promise<number> {
    return this.#fill(options, old, passphrase, (known, changed, keys) =>
      this.#handle.run('change_passphrase', [known, changed, keys], options),
    )
  }

  /**
   * Erases a slot, or those that a passphrase opens: their passphrase doesn't open the image any more. A passphrase is tried
   * on each slot, and reports its progress in iterations.
   *
   * @param which the number of the slot, or the passphrase.
   * @throws {@link Qcow2Error} `LAST_KEY_SLOT` where no other is active, `NO_SUCH_KEY_SLOT`, `WRONG_PASSPHRASE` where it opens
   * none of them, `CANCELLED`, and what {@link Qcow2.write} rejects with.
   */
  async delete(which: number | KeySlotsOfPassphrase, options: LongOptions = {}): Promise<void> {
    if (typeof which !== 'object' || which === null) {
      await this.#handle.run('erase_key_slot', [small(which, 'The slot')], options)
      return
    }
    const slot = which.slot === undefined ? undefined : small(which.slot, 'slot')
    const bytes = passphraseBytes(which.passphrase, 'passphrase')
    try {
      await this.#handle.run('erase_passphrase', [bytes, slot], options)
    } finally {
      bytes.fill(0)
    }
  }

  async #fill(
    options: KeySlotOptions,
    known: Passphrase,
    added: Passphrase,
    fill: (known: Uint8Array, added: Uint8Array, keys: HostKeyOptions) => Promise<{ readonly slot: number }>,
  ): Promise<number> {
    const keys = hostKeyOptions(optionsIn(options))
    const [old, passphrase] = [passphraseBytes(known, 'A passphrase'), passphraseBytes(added, 'A passphrase')]
    try {
      return (await fill(old, passphrase, keys)).slot
    } finally {
      for (const bytes of [old, passphrase]) bytes.fill(0)
    }
  }
}
