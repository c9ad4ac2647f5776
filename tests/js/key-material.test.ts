import { createHash, pbkdf2Sync } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type LuksHash, memory, Qcow2 } from '../../src/js/index.js'
import { memoryOfEngine } from './helpers/garbage.js'
import { contents } from './helpers/qemu.js'

const MiB = 1024 * 1024
const disk = contents(MiB, 3)
const iterations = 1000

afterEach(() => vi.restoreAllMocks())

/** The random bytes that the engine gets from now on, each time as many as it asks for. */
function recordRandom(): Uint8Array[] {
  const records: Uint8Array[] = []
  const original = crypto.getRandomValues.bind(crypto)
  vi.spyOn(crypto, 'getRandomValues').mockImplementation((into) => {
    original(into)
    if (into instanceof Uint8Array) records.push(into.slice())
    return into
  })
  return records
}

describe.each([
  ['by WebCrypto', 'sha256'],
  ['by the engine', 'sha224'],
] as const)('of an image whose keys are derived %s', (_, hash) => {
  it('nothing secret is in the memory of WebAssembly when it is closed', async () => {
    const [first, second] = ['a passphrase that is long enough', 'another passphrase, also long']
    const records = recordRandom()
    const file = memory()
    const made = await Qcow2.create(file, { size: MiB, encryption: { passphrase: first, hash, iterations } })
    const secrets = secretsOf(records, hash, [first, second])
    await made.write(0, disk)
    expect(await found(secrets)).toContain('a round key')
    await made.close()
    expect(await found(secrets)).toEqual([])

    const image = await Qcow2.open(file, { writable: true, passphrase: first })
    expect(Buffer.compare(await image.read(0, MiB), disk)).toBe(0)
    await image.keySlots.create(first, second, { iterations })
    await image.keySlots.delete(0)
    const all = [...secrets, ...secretsOf(records, hash, [first, second])]
    await image.close()
    expect(await found(all)).toEqual([])

    await expect(Qcow2.open(file, { passphrase: first })).rejects.toMatchObject({ code: 'WRONG_PASSPHRASE' })
    await (await Qcow2.open(file, { passphrase: second })).close()
    expect(await found(all)).toEqual([])
  })
})

interface Secret {
  readonly name: string
  readonly bytes: Uint8Array
}

/** What must not stay of an image whose key, salts and key material were made of these random bytes. */
function secretsOf(records: readonly Uint8Array[], hash: LuksHash, passphrases: readonly string[]): Secret[] {
  const key = records.find(({ length }) => length === 64) ?? new Uint8Array()
  const salts = records.filter(({ length }) => length === 32)
  const secrets: Secret[] = []
  const add = (name: string, bytes: Uint8Array, length = 16) => {
    for (let at = 0; at + length <= bytes.length; at += length)
      secrets.push({ name, bytes: bytes.slice(at, at + length) })
  }
  add('the key', key)
  for (const half of [key.subarray(0, 32), key.subarray(32)]) {
    for (const round of roundKeys(half)) {
      add('a round key', round)
      add(
        'a round key',
        round.map((byte) => byte ^ 0x63),
      )
      for (const plane of planes(round.map((byte) => byte ^ 0x63))) add('a round key', plane)
    }
  }
  for (const passphrase of passphrases) {
    add('a passphrase', new TextEncoder().encode(passphrase))
    for (const salt of salts) add('the key of a slot', pbkdf2Sync(passphrase, salt, iterations, 64, hash))
  }
  // Of the digest the header has the first 20 bytes.
  for (const salt of salts) add('the digest of the key', pbkdf2Sync(key, salt, iterations, 28, hash).subarray(20), 8)
  // What is longer than a browser gives at once comes in pieces: the noise of a split key.
  let noise: Uint8Array[] = []
  for (const record of records) {
    if (record.length < 1000) continue
    noise.push(record)
    if (record.length === 65536) continue
    for (const state of splitStates(Buffer.concat(noise), hash)) add('a state of the split', state)
    noise = []
  }
  return secrets
}

/** The key expansion of AES-256 (FIPS 197, 5.2), by another cipher call: a round at a time. */
function roundKeys(key: Uint8Array): Uint8Array[] {
  const words: number[][] = []
  for (let at = 0; at < 32; at += 4) words.push([...key.subarray(at, at + 4)])
  let constant = 1
  for (let at = 8; at < 60; at += 1) {
    let word = words[at - 1] ?? []
    if (at % 8 === 0) {
      word = [...word.slice(1), word[0] ?? 0].map(substituted)
      word[0] = (word[0] ?? 0) ^ constant
      constant = (constant << 1) ^ (constant >> 7 ? 0x11b : 0)
    } else if (at % 8 === 4) word = word.map(substituted)
    words.push(word.map((byte, row) => byte ^ (words[at - 8]?.[row] ?? 0)))
  }
  return Array.from({ length: 15 }, (_, round) => Uint8Array.from(words.slice(4 * round, 4 * round + 4).flat()))
}

/** The S-box of AES. */
function substituted(byte: number): number {
  let inverse = 0
  for (let other = 1; other < 256 && byte !== 0; other += 1) if (product(byte, other) === 1) inverse = other
  const rotated = (by: number) => ((inverse << by) | (inverse >> (8 - by))) & 0xff
  return inverse ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63
}

function product(one: number, other: number): number {
  let [sum, factor] = [0, one]
  for (let bit = 0; bit < 8; bit += 1) {
    if ((other >> bit) & 1) sum ^= factor
    factor = (factor << 1) ^ (factor & 0x80 ? 0x11b : 0)
  }
  return sum
}

/** A round key as the bit-sliced AES has it: a vector for each bit, in which each of eight blocks has the same. */
function planes(round: Uint8Array): Uint8Array[] {
  return Array.from({ length: 8 }, (_, bit) => round.map((byte) => ((byte >> bit) & 1 ? 0xff : 0)))
}

/** What the anti-forensic split has mixed after each stripe of noise; the last one hides the key. */
function splitStates(noise: Uint8Array, hash: LuksHash): Uint8Array[] {
  const states: Uint8Array[] = []
  let state = new Uint8Array(64)
  const digestLength = createHash(hash).digest().length
  for (let stripe = 0; stripe + 64 <= noise.length; stripe += 64) {
    const mixed = state.map((byte, index) => byte ^ (noise[stripe + index] ?? 0))
    state = new Uint8Array(64)
    for (let at = 0, part = 0; at < 64; at += digestLength, part += 1) {
      const number = Buffer.from([0, 0, 0, part])
      const digest = createHash(hash)
        .update(number)
        .update(mixed.subarray(at, at + digestLength))
        .digest()
      state.set(digest.subarray(0, Math.min(digestLength, 64 - at)), at)
    }
    states.push(state)
  }
  return states
}

/** Which of the secrets are in the memory of WebAssembly. */
async function found(secrets: readonly Secret[]): Promise<string[]> {
  const view = new DataView((await memoryOfEngine()).buffer)
  const wanted = new Map<number, Secret[]>()
  for (const secret of secrets) {
    const begins = new DataView(secret.bytes.buffer).getUint32(0)
    // What is all alike is found everywhere.
    if (new Set(secret.bytes).size < 2) continue
    wanted.set(begins, [...(wanted.get(begins) ?? []), secret])
  }
  const names = new Set<string>()
  for (let at = 0; at + 16 <= view.byteLength; at += 1) {
    // Most of the memory is zeros.
    if (view.getUint16(at) === 0) continue
    for (const { name, bytes } of wanted.get(view.getUint32(at)) ?? []) {
      if (bytes.every((byte, index) => view.getUint8(at + index) === byte)) names.add(name)
    }
  }
  return [...names]
}
