import { type CipherName, type Derivation, digest, failure } from './crypto.js'
import { type ContainerHeader, type Content, type KeySlot, longestKey, type ReadContainer, stripes } from './header.js'

/** The sizes that a header with its text can have. */
const headerSizes = [0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000]
/** The fields before the text. */
const fieldBytes = 4096
const checksum = { at: 448, length: 64 }
/** More memory than this, in KiB, no program asks for by itself. */
const mostMemory = 4 << 20

/**
 * Parses the header of LUKS version 2: fields, and a text in JSON. A second copy follows the first one, and is used if the
 * first one is corrupt.
 */
export function parseLuks2(read: ReadContainer): ContainerHeader {
  const first = headerAt(read, 0, 'LUKS\xba\xbe')
  for (const at of first ? [] : headerSizes) {
    const second = headerAt(read, at, 'SKUL\xba\xbe')
    if (second) return fromText(second)
  }
  if (!first) throw failure('DAMAGED', 'both copies of the header of the container are corrupt')
  return fromText(first)
}

/** The text of the header at an offset, if the header is sound. */
function headerAt(read: ReadContainer, offset: number, magic: string): string | undefined {
  const start = read(offset, fieldBytes)
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const size = Number(view.getBigUint64(8))
  const isHeader = latin1(start.subarray(0, 6)) === magic && view.getUint16(6) === 2
  if (!isHeader || !headerSizes.includes(size) || view.getBigUint64(256) !== BigInt(offset)) return undefined
  const whole = new Uint8Array(read(offset, size))
  const expected = whole.slice(checksum.at, checksum.at + checksum.length)
  whole.fill(0, checksum.at, checksum.at + checksum.length)
  const hash = latin1(whole.subarray(72, 104))
  const found = digest(hash, whole)
  if (!found) throw failure('UNSUPPORTED', `the hash ${hash} is not supported`)
  if (!found.every((byte, index) => byte === expected[index])) return undefined
  return new TextDecoder().decode(whole.subarray(fieldBytes)).replace(/\0.*$/s, '')
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).replace(/\0.*$/s, '')
}

function fromText(text: string): ContainerHeader {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw corrupt('its text is no JSON')
  }
  const header = object(json, 'the text')
  const requirements = object(object(header.config, 'config').requirements ?? {}, 'requirements').mandatory
  if (Array.isArray(requirements) && requirements.length > 0) {
    const words = requirements.map(String).join(', ')
    const unfinished = words.includes('reencrypt') ? '; finish the reencryption with cryptsetup first' : ''
    throw failure('UNSUPPORTED', `the container needs features that are not supported: ${words}${unfinished}`)
  }
  return { slots: slotsOf(header), content: contentOf(object(header.segments, 'segments')) }
}

function contentOf(segments: Members): Content {
  const [segment, ...others] = Object.values(segments).map((each) => object(each, 'a segment'))
  if (!segment || others.length > 0) {
    throw failure('UNSUPPORTED', `a container with ${Object.keys(segments).length} segments is not supported`)
  }
  if (segment.type !== 'crypt') throw failure('UNSUPPORTED', `segments of type ${segment.type} are not supported`)
  if (segment.integrity !== undefined) throw failure('UNSUPPORTED', 'containers with integrity are not supported')
  const size = segment.size === 'dynamic' ? {} : { size: number(segment.size, 'size') }
  return {
    encryption: cipherName(segment.encryption),
    offset: number(segment.offset, 'offset'),
    ...size,
    sectorSize: number(segment.sector_size, 'sector_size'),
    firstSector: number(segment.iv_tweak, 'iv_tweak'),
  }
}

/** The slots that hold the key of the segment: preferred ones first, without those that only an explicit choice may use. */
function slotsOf(header: Members): KeySlot[] {
  const keySlots = object(header.keyslots, 'keyslots')
  const digests = Object.values(object(header.digests, 'digests')).map((each) => object(each, 'a digest'))
  const found: { priority: number; slot: KeySlot }[] = []
  for (const [name, value] of Object.entries(keySlots)) {
    const keySlot = object(value, 'a key slot')
    const priority = keySlot.priority === undefined ? 1 : number(keySlot.priority, 'priority')
    const check = digests.find(({ keyslots, segments }) => list(keyslots).includes(name) && list(segments).length > 0)
    // Others belong to a reencryption, or hold another key.
    if (keySlot.type !== 'luks2' || priority === 0 || !check) continue
    found.push({ priority, slot: slotOf(keySlot, check) })
  }
  return found.sort((a, b) => b.priority - a.priority).map(({ slot }) => slot)
}

function slotOf(keySlot: Members, check: Members): KeySlot {
  const area = object(keySlot.area, 'area')
  const split = object(keySlot.af, 'af')
  const keyBytes = number(keySlot.key_size, 'key_size')
  const derivedBytes = number(area.key_size, 'key_size')
  if ([keyBytes, derivedBytes].some((length) => length < 1 || length > longestKey)) {
    throw corrupt(`a key has ${keyBytes} bytes, and the key of its slot ${derivedBytes}`)
  }
  if (split.type !== 'luks1' || number(split.stripes, 'stripes') !== stripes) {
    throw failure('UNSUPPORTED', `keys that are split as ${split.type} into ${split.stripes} are not supported`)
  }
  if (check.type !== 'pbkdf2') throw failure('UNSUPPORTED', `digests of type ${check.type} are not supported`)
  return {
    derivation: derivation(object(keySlot.kdf, 'kdf')),
    derivedBytes,
    encryption: cipherName(area.encryption),
    splitHash: text(split.hash, 'hash'),
    materialOffset: number(area.offset, 'offset'),
    keyBytes,
    check: { derivation: derivation(check), digest: bytes(check.digest, 'digest') },
  }
}

function derivation(from: Members): Derivation {
  const salt = bytes(from.salt, 'salt')
  const { type } = from
  if (type === 'pbkdf2') {
    const iterations = number(from.iterations, 'iterations')
    if (iterations < 1 || iterations > 0xffff_ffff) throw corrupt(`a key is derived with ${iterations} iterations`)
    return { kind: type, hash: text(from.hash, 'hash'), salt, iterations }
  }
  if (type === 'argon2i' || type === 'argon2id') {
    const [time, memory, lanes] = [number(from.time, 'time'), number(from.memory, 'memory'), number(from.cpus, 'cpus')]
    if (memory > mostMemory) throw failure('LIMIT', `the key derivation needs ${memory >> 10} MiB of memory`)
    return { kind: type, salt, time, memory, lanes }
  }
  throw failure('UNSUPPORTED', `the key derivation ${type} is not supported`)
}

/** A cipher such as `aes-xts-plain64`. */
function cipherName(value: unknown): CipherName {
  const [cipher = '', ...mode] = text(value, 'encryption').split('-')
  return { cipher, mode: mode.join('-') }
}

type Members = Readonly<Record<string, unknown>>

function object(value: unknown, name: string): Members {
  if (typeof value !== 'object' || value === null) throw corrupt(`${name} is missing`)
  return value as Members
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw corrupt(`${name} is no text`)
  return value
}

/** A number, which is text where it can have 64 bits. */
function number(value: unknown, name: string): number {
  const found = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (!Number.isSafeInteger(found) || (found as number) < 0) throw corrupt(`${name} is no number`)
  return found as number
}

/** Bytes in base64. */
function bytes(value: unknown, name: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text(value, name)), (letter) => letter.charCodeAt(0))
  } catch {
    throw corrupt(`${name} is not in base64`)
  }
}

function corrupt(what: string): unknown {
  return failure('DAMAGED', `the header of the container is corrupt: ${what}`)
}
