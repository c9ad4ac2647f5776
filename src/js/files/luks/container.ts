import { derive, failure, keyOf, sectors } from './crypto.js'
import { type Content, type KeySlot, type ReadContainer, stripes } from './header.js'
import { parseLuks1 } from './version1.js'
import { parseLuks2 } from './version2.js'

/** A container with its key. */
export interface Unlocked extends Content {
  /** The identifier of the volume that is the container. */
  readonly id: string
  readonly key: Uint8Array
}

const magic = 'LUKS\xba\xbe'

/**
 * Finds the key of a container by a passphrase. Everything is read before anything is computed: reads may have to be made
 * again, and deriving keys takes seconds.
 *
 * @throws an object with a code and a message, as the modules do.
 */
export function unlock(id: string, read: ReadContainer, passphrase: Uint8Array): Unlocked {
  const start = read(0, 4096)
  if (String.fromCharCode(...start.subarray(0, 6)) !== magic) throw failure('UNSUPPORTED', 'this is no LUKS container')
  const version = new DataView(start.buffer, start.byteOffset).getUint16(6)
  if (version !== 1 && version !== 2) throw failure('UNSUPPORTED', `version ${version} of LUKS is not supported`)
  const { slots, content } = version === 1 ? parseLuks1(start) : parseLuks2(read)
  if (slots.length === 0) throw failure('UNSUPPORTED', 'the container has no key slot that a passphrase opens')
  const materials = slots.map(({ materialOffset, keyBytes }) => read(materialOffset, keyBytes * stripes))
  /** Why a slot cannot be tried. Another one may be opened. */
  let problem: unknown
  for (const [index, slot] of slots.entries()) {
    try {
      const key = open(slot, materials[index] as Uint8Array, passphrase)
      if (!key) continue
      // Refuses what cannot be decrypted now, not when it is read.
      sectors(content.encryption, key, content.sectorSize).free()
      return { ...content, id, key }
    } catch (thrown) {
      problem ??= thrown
    }
  }
  throw problem ?? failure('WRONG_PASSPHRASE', 'the passphrase does not open the container')
}

/** The key in a slot, if the passphrase opens it. */
function open(slot: KeySlot, material: Uint8Array, passphrase: Uint8Array): Uint8Array | undefined {
  const derived = derive(slot.derivation, passphrase, slot.derivedBytes)
  const key = keyOf(slot.encryption, slot.splitHash, derived, material)
  derived.fill(0)
  const { derivation, digest } = slot.check
  const found = derive(derivation, key, digest.length)
  if (found.every((byte, index) => byte === digest[index])) return key
  key.fill(0)
  return undefined
}
