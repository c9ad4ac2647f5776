/** The hashes by which WebCrypto derives keys, under the names that LUKS gives them. */
const hashes = new Map([
  ['sha1', 'SHA-1'],
  ['sha256', 'SHA-256'],
  ['sha384', 'SHA-384'],
  ['sha512', 'SHA-512'],
])

/** The most bytes that one call of `getRandomValues` returns. */
const randomLimit = 65_536

/**
 * A key by PBKDF2, derived by WebCrypto, beside the thread that asks for it; `undefined` where there is none (on pages that
 * don't come over HTTPS) or where it can't. Wipes `password`.
 */
export async function deriveKey(
  hash: string,
  password: Uint8Array<ArrayBuffer>,
  salt: Uint8Array<ArrayBuffer>,
  iterations: number,
  length: number,
): Promise<Uint8Array | undefined> {
  const name = hashes.get(hash)
  const subtle = globalThis.crypto?.subtle
  try {
    if (!name || !subtle) return undefined
    const key = await subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits'])
    return new Uint8Array(await subtle.deriveBits({ name: 'PBKDF2', hash: name, salt, iterations }, key, length * 8))
  } catch {
    // It has limits of its own, such as on empty passwords.
    return undefined
  } finally {
    password.fill(0)
  }
}

/** Fills an array with random bytes that cannot be predicted. */
export function fillRandom(into: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < into.length; at += randomLimit) crypto.getRandomValues(into.subarray(at, at + randomLimit))
}
