/** Why {@link parseSize} rejects a text: it is no size, or the size does not fit into 64 bits. */
export type SizeProblem = 'invalid' | 'range'

/** The largest size of a disk. */
export const maxSize = (1n << 63n) - 1n

const suffixes = 'BKMGTPE'
const limit = 1n << 64n

/**
 * Parses a size as QEMU does: a decimal number, which may have a fraction, or a hexadecimal one, and an optional suffix.
 *
 * @param unit the suffix that counts where there is none: `B` or one of `KMGTPE`.
 */
export function parseSize(text: string, unit = 'B'): bigint | SizeProblem {
  const hexadecimal = /^\s*0[xX]([0-9a-fA-F]+)$/.exec(text)
  if (hexadecimal) return bounded(BigInt(`0x${hexadecimal[1]}`))
  // As for QEMU, a negative number is a number that is out of range.
  if (/^\s*-\d/.test(text)) return 'range'
  const match = /^\s*\+?(?=\.?\d)(\d*)(?:\.(\d*))?([bBkKmMgGtTpPeE])?$/.exec(text)
  if (!match) return 'invalid'
  const [, whole = '', fraction = '', suffix = unit] = match
  const factor = 1n << BigInt(10 * suffixes.indexOf(suffix.toUpperCase()))
  // A fraction of a byte makes no sense.
  if (factor === 1n && /[1-9]/.test(fraction)) return 'invalid'
  const scale = 10n ** BigInt(fraction.length)
  const part = (BigInt(fraction || 0) * factor + scale / 2n) / scale
  return bounded(BigInt(whole) * factor + part)
}

function bounded(value: bigint): bigint | SizeProblem {
  return value < limit ? value : 'range'
}

/** A size as people read it: three digits and a binary unit. */
export function humanSize(bytes: number | bigint): string {
  const value = BigInt(bytes)
  // The next unit begins at 1000 of the last one.
  let power = 0
  while (power < 6 && value >= 1000n * 1024n ** BigInt(power)) power += 1
  const unit = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'][power]
  return `${significant(value, 1024n ** BigInt(power))} ${unit}B`
}

/** A quotient below 1000 with three significant digits, half rounded to even, without zeros at its end. */
function significant(dividend: bigint, divisor: bigint): string {
  const digits = String(dividend / divisor).length
  const decimals = dividend < divisor ? 3 : 3 - digits
  const scale = 10n ** BigInt(decimals)
  const doubled = (2n * dividend * scale) / divisor
  const isTie = doubled * divisor === 2n * dividend * scale
  const half = doubled / 2n
  const rounded = doubled % 2n === 0n || (isTie && half % 2n === 0n) ? half : half + 1n
  return String(Number(rounded) / Number(scale))
}

/** A number in hexadecimal, with a prefix unless it is zero. */
export function hex(value: number | bigint): string {
  return BigInt(value) === 0n ? '0' : `0x${value.toString(16)}`
}
