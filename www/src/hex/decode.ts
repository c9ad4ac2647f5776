/** The meanings that a few bytes may have. Lines whose bytes reach past the end are left out. */

import { guid } from '../partitions/gpt'

export interface Reading {
  name: string
  value: string
}

export function readings(bytes: Uint8Array, littleEndian: boolean): Reading[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const list: Reading[] = []
  const add = (name: string, length: number, read: () => string | null) => {
    const value = bytes.length >= length ? read() : null
    if (value !== null) list.push({ name, value })
  }
  const pair = (signed: bigint | number, unsigned: bigint | number) =>
    BigInt(signed) === BigInt(unsigned) ? group(unsigned) : `${group(unsigned)} or ${group(signed)}`

  add('8 bits', 1, () => pair(view.getInt8(0), view.getUint8(0)))
  add('16 bits', 2, () => pair(view.getInt16(0, littleEndian), view.getUint16(0, littleEndian)))
  add('32 bits', 4, () => pair(view.getInt32(0, littleEndian), view.getUint32(0, littleEndian)))
  add('64 bits', 8, () => pair(view.getBigInt64(0, littleEndian), view.getBigUint64(0, littleEndian)))
  add('Float', 4, () => float(view.getFloat32(0, littleEndian), 7))
  add('Double', 8, () => float(view.getFloat64(0, littleEndian), 15))
  add('Binary', 1, () => view.getUint8(0).toString(2).padStart(8, '0'))
  add('UTF-8', 1, () => character(bytes))
  add('Unix time', 4, () => time(view.getUint32(0, littleEndian)))
  add('GUID', 16, () => guid(bytes))
  return list
}

const group = (value: bigint | number): string => BigInt(value).toLocaleString('en')

function float(value: number, digits: number): string {
  if (!Number.isFinite(value)) return String(value)
  return value === 0 ? '0' : String(Number(value.toPrecision(digits)))
}

function character(bytes: Uint8Array): string {
  for (let length = 1; length <= Math.min(4, bytes.length); length++) {
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length))
      const code = `U+${(text.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
      return /\p{C}|\p{Z}/u.test(text) ? code : `${text}  ${code}`
    } catch {
      // Not a whole character yet.
    }
  }
  return 'not a character'
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z').replace('T', ' ')
}

/** What the ASCII column shows of a byte. */
export function printable(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·'
}
