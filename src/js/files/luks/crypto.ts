import { luksModule } from '../beside.js'
import { extraModule } from '../extra-module.js'
import load, { argon2, digest, openSlot, pbkdf2, WasmSectors } from './generated/qcow2_web_luks.js'

/** The compiled module for LUKS, which is loaded when a container is unlocked. */
export const compiledLuks = /* @__PURE__ */ extraModule('luks', luksModule, 'encrypted volumes')

/** Makes the one instance of this thread. */
export async function instantiateLuks(module: WebAssembly.Module): Promise<void> {
  await load({ module_or_path: module })
}

/** Why a container cannot be unlocked: a sentence without its capital and full stop, as the modules throw it. */
export function failure(
  code: 'UNSUPPORTED' | 'DAMAGED' | 'WRONG_PASSPHRASE' | 'LIMIT',
  message: string,
): { readonly code: string; readonly message: string } {
  return { code, message }
}

/** How the key of a slot is derived from a passphrase. */
export type Derivation =
  | { readonly kind: 'pbkdf2'; readonly hash: string; readonly salt: Uint8Array; readonly iterations: number }
  | {
      readonly kind: 'argon2i' | 'argon2id'
      readonly salt: Uint8Array
      readonly time: number
      /** In KiB. */
      readonly memory: number
      readonly lanes: number
    }

/** Derives a key of `length` bytes. Leaves `secret` as it is. */
export function derive(derivation: Derivation, secret: Uint8Array, length: number): Uint8Array {
  if (derivation.kind === 'pbkdf2') {
    const { hash, salt, iterations } = derivation
    return supported(pbkdf2(hash, secret, salt, iterations, length), `the hash ${hash}`)
  }
  const { kind, salt, time, memory, lanes } = derivation
  try {
    return argon2(kind, secret, salt, time, memory, lanes, length)
  } catch (thrown) {
    throw typeof thrown === 'string' ? failure('LIMIT', thrown) : thrown
  }
}

/** The digest of `bytes`, or `undefined` if the hash is not known. */
export { digest }

/** A cipher as headers name it, such as `aes` and `xts-plain64`. */
export interface CipherName {
  readonly cipher: string
  readonly mode: string
}

/** Decrypts the key in the material of a slot. It is a wrong one if `slotKey` is. */
export function keyOf(name: CipherName, hash: string, slotKey: Uint8Array, material: Uint8Array): Uint8Array {
  const key = openSlot(name.cipher, name.mode, hash, slotKey, material)
  return supported(key, `the cipher ${name.cipher}-${name.mode} with the hash ${hash}`)
}

/** What decrypts the sectors of a container. */
export function sectors(name: CipherName, key: Uint8Array, sectorSize: number): WasmSectors {
  const made = WasmSectors.create(name.cipher, name.mode, key, sectorSize)
  const what = `the cipher ${name.cipher}-${name.mode} with a key of ${key.length * 8} bits and sectors of ${sectorSize} bytes`
  return supported(made, what)
}

function supported<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw failure('UNSUPPORTED', `${what} is not supported`)
  return value
}
