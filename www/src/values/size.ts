/** Sizes in binary units, as qemu-img writes them. */

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const
const UNIT_LETTERS = 'kmgtpe'

/** "64 KiB", "1.5 GiB": at most three significant digits; whole numbers of a unit stay whole. */
export function formatSize(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  if (unit > 0 && Math.round(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = Number.isInteger(value) || value >= 100 ? 0 : value >= 10 ? 1 : 2
  const text = value.toFixed(digits).replace(/\.(\d*?)0+$/, (_, kept: string) => (kept ? `.${kept}` : ''))
  return `${text} ${unit === 0 && bytes === 1 ? 'byte' : UNITS[unit]}`
}

/** "68,719,476,736 bytes". By way of BigInt, since a number's own text rounds above 2^53. */
export function exactBytes(bytes: number): string {
  return `${BigInt(bytes).toLocaleString('en')} ${bytes === 1 ? 'byte' : 'bytes'}`
}

/** A count with thousands separated. */
export function formatCount(count: number): string {
  return BigInt(Math.round(count)).toLocaleString('en')
}

/** A share as a percentage that never claims 0 % or 100 % unless it is. */
export function formatShare(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return '0 %'
  if (part >= whole) return '100 %'
  const percent = (100 * part) / whole
  if (percent < 0.1) return '< 0.1 %'
  if (percent > 99.9) return '> 99.9 %'
  // Next to either end one digit more, so that a share and the rest of it add up.
  return `${percent.toFixed(percent < 10 || percent > 90 ? 1 : 0)} %`
}

/** The factor of a unit's name: '', 'k', 'KiB', 'M', 'mib', … or `null` where it is no unit. */
export function unitFactor(name: string): bigint | null {
  const unit = name.trim().toLowerCase()
  if (unit === '' || unit === 'b' || unit === 'byte' || unit === 'bytes') return 1n
  const match = /^([kmgtpe])(i?b)?$/.exec(unit)
  if (!match) return unit === 's' || unit === 'sector' || unit === 'sectors' ? 512n : null
  return 1024n ** BigInt(UNIT_LETTERS.indexOf(match[1] as string) + 1)
}
