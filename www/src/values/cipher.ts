import type { EncryptionInfo } from 'qcow2-web'

/** How an image is encrypted, in a few words: `LUKS, aes-256 xts-plain64`. */
export function cipherOf(encryption: EncryptionInfo): string {
  if (encryption.format === 'aes') return 'legacy AES-128'
  const { cipher, mode, keyBits } = encryption
  // The key of XTS is two.
  const bits = mode.startsWith('xts') ? keyBits / 2 : keyBits
  return `LUKS, ${cipher}-${bits} ${mode}`
}
