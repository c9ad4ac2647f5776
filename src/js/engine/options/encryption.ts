import { oneOf, optionsIn, text, word } from '../../base/arguments.js'
import { invalidArgument } from '../../base/errors.js'
import { type Passphrase, passphraseBytes } from './passphrase.js'

/** How {@link Qcow2.create} encrypts an image. */
export type EncryptionOptions = LuksOptions | LegacyAesOptions

/** A hash of LUKS. */
export type LuksHash = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | 'ripemd160'

/**
 * LUKS, which is what to take. The passphrase opens the first of eight key slots. Ciphers, modes and hashes have the names
 * that LUKS gives them; the defaults are QEMU's.
 */
export interface LuksOptions extends KeyOptions {
  /** Default: `luks`. */
  readonly format?: 'luks' | undefined
  /** What opens the image. */
  readonly passphrase: Passphrase
  /** The cipher and the length of its key in bits. For XTS the key in the image is twice as long. Default: `aes-256`. */
  readonly cipher?: `${'aes' | 'serpent' | 'twofish'}-${128 | 192 | 256}` | undefined
  /** How the cipher is used, and from what each sector begins. Default: `xts-plain64`. */
  readonly mode?: `${'xts' | 'cbc'}-${'plain' | 'plain64' | `essiv:${LuksHash}`}` | undefined
  /** By what keys are derived. WebCrypto, which is fast, has no `sha224` and no `ripemd160`. Default: `sha256`. */
  readonly hash?: LuksHash | undefined
}

/**
 * QEMU's legacy method, for programs that know no other: **it is not safe**. The first 16 bytes of the passphrase are the key of
 * AES-128 in CBC mode. It can't be changed, a wrong one is not noticed, and anyone with write access to the file can change the data.
 * QEMU's own system emulators refuse such images.
 */
export interface LegacyAesOptions {
  /** It has to be asked for. */
  readonly format: 'aes'
  /** The key. */
  readonly passphrase: Passphrase
}

/** How much work each try of a passphrase is: for the owner, and for an attacker. */
export interface KeyOptions {
  /** The number of iterations, at least 1000. Default: 1,000,000, which is about half a second. */
  readonly iterations?: number | undefined
  /** Instead of that, about how many milliseconds the iterations should take on this machine. */
  readonly iterationTime?: number | undefined
}

/** How a key is made, as `src/bridge/host.rs` takes it. */
export interface HostKeyOptions {
  readonly iterations: number | undefined
  readonly iterationTime: number | undefined
}

/** How an image is to be encrypted, as `src/bridge/host.rs` takes it. */
export interface HostEncryptOptions {
  readonly legacy: boolean
  readonly passphrase: Uint8Array
  readonly cipher: string
  readonly keyBits: number
  readonly mode: string
  readonly hash: string
  readonly keys: HostKeyOptions
}

/** Checks what kind each option is of; what goes together, the engine knows. It wipes the passphrase. */
export function hostEncryptOptions(given: EncryptionOptions): HostEncryptOptions {
  const options = optionsIn(given, 'encryption') as EncryptionOptions
  const format = oneOf(options.format ?? 'luks', ['luks', 'aes'], 'encryption.format')
  const luks: Partial<LuksOptions> = options.format === 'aes' ? {} : options
  const { cipher = 'aes-256', mode = 'xts-plain64', hash = 'sha256' } = luks
  const [, name, bits] = /^([a-z]+)-(\d{3})$/.exec(text(cipher, 'encryption.cipher')) ?? []
  if (!name) throw invalidArgument("encryption.cipher must be a cipher and the length of its key, such as 'aes-256'.")
  return {
    legacy: format === 'aes',
    cipher: name,
    keyBits: Number(bits),
    mode: text(mode, 'encryption.mode'),
    hash: text(hash, 'encryption.hash'),
    keys: hostKeyOptions(luks),
    passphrase: passphraseBytes(options.passphrase, 'encryption.passphrase'),
  }
}

/** Checks what kind each option is of. */
export function hostKeyOptions({ iterations, iterationTime }: KeyOptions): HostKeyOptions {
  return {
    iterations: iterations === undefined ? undefined : word(iterations, 'iterations', 1000),
    iterationTime: iterationTime === undefined ? undefined : word(iterationTime, 'iterationTime'),
  }
}
