/** Offsets are bigints on this page: a 2 EiB disk has more bytes than a number counts exactly. */

import { unitFactor } from './size'

/** "0x0000_0010_0000" is unreadable and "0x100000" is not: hexadecimal, at least `digits` wide. */
export function formatOffset(offset: bigint | number, digits = 0): string {
  return `0x${BigInt(offset).toString(16).padStart(digits, '0')}`
}

/**
 * Reads what a person types to go somewhere: "0x1f0000", "1f0000h", "1048576", "1_048_576", "1.5 GiB", "63 s" (sectors
 * of 512 bytes), "-1M" (from the end). `null` where it is none of these.
 */
export function parseOffset(text: string, end: bigint): bigint | null {
  const cleaned = text.trim().replace(/(?<=[\da-f])[_,'](?=[\da-f])/gi, '')
  const negative = cleaned.startsWith('-')
  const value = parseMagnitude(negative ? cleaned.slice(1).trim() : cleaned)
  if (value === null) return null
  return negative ? end - value : value
}

function parseMagnitude(text: string): bigint | null {
  const hex = /^0x([\da-f]{1,16})$/i.exec(text) ?? /^([\da-f]{1,16})h$/i.exec(text)
  if (hex) return BigInt(`0x${hex[1]}`)

  const decimal = /^(\d{1,20})(?:\.(\d{1,6}))?\s*([a-z]*)$/i.exec(text)
  if (!decimal) return null
  const factor = unitFactor(decimal[3] ?? '')
  if (factor === null) return null
  const fraction = decimal[2] ?? ''
  if (fraction && factor === 1n) return null
  return BigInt(decimal[1] as string) * factor + (BigInt(fraction || '0') * factor) / 10n ** BigInt(fraction.length)
}

export function clampOffset(offset: bigint, size: number): bigint {
  const last = BigInt(size) - 1n
  if (offset > last) offset = last
  return offset < 0n ? 0n : offset
}
