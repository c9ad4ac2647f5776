import type { Needle, Unit } from './needle'

export interface Match {
  at: number
  length: number
}

/** Finds a needle in bytes. */
export class Matcher {
  /** No match is longer. */
  readonly longest: number
  /** The bytes that a match may begin with. */
  private readonly first = new Uint8Array(256)
  /** The only byte that a match may begin with, if there is one only: searched by the browser itself. */
  private readonly only: number | null

  constructor(private readonly needle: Needle) {
    this.longest = Math.max(...needle.map((units) => units.reduce((sum, unit) => sum + longestOf(unit), 0)))
    for (const [unit = []] of needle) {
      if (unit.length === 0) this.first.fill(1)
      for (const [byte = 0] of unit) this.first[byte] = 1
    }
    const count = this.first.reduce((sum, each) => sum + each, 0)
    this.only = count === 1 ? this.first.indexOf(1) : null
  }

  /** The first match that begins from `from` to before `end`. */
  next(bytes: Uint8Array, from: number, end: number): Match | null {
    for (let at = this.candidate(bytes, from, end); at < end; at = this.candidate(bytes, at + 1, end)) {
      const length = this.lengthAt(bytes, at)
      if (length > 0) return { at, length }
    }
    return null
  }

  /** The last match that begins from `from` to before `end`. */
  previous(bytes: Uint8Array, from: number, end: number): Match | null {
    for (let at = end - 1; at >= from; at -= 1) {
      const length = this.first[bytes[at] ?? 0] ? this.lengthAt(bytes, at) : 0
      if (length > 0) return { at, length }
    }
    return null
  }

  /** The first offset from `from` on at which a match may begin; `end` or more if there is none. */
  private candidate(bytes: Uint8Array, from: number, end: number): number {
    if (this.only !== null) {
      const at = bytes.indexOf(this.only, from)
      return at < 0 ? end : at
    }
    let at = from
    while (at < end && !this.first[bytes[at] ?? 0]) at += 1
    return at
  }

  /** The length of the longest match at `at`; 0 if there is none. */
  private lengthAt(bytes: Uint8Array, at: number): number {
    return Math.max(...this.needle.map((units) => endOf(bytes, at, units, 0) - at), 0)
  }
}

/** Where the units from `index` on end, if they are at `at`; -1 if they are not. */
function endOf(bytes: Uint8Array, at: number, units: readonly Unit[], index: number): number {
  const unit = units[index]
  if (!unit) return at
  if (unit.length === 0) return at < bytes.length ? endOf(bytes, at + 1, units, index + 1) : -1
  for (const sequence of unit) {
    if (!sequence.every((byte, within) => bytes[at + within] === byte)) continue
    const end = endOf(bytes, at + sequence.length, units, index + 1)
    if (end >= 0) return end
  }
  return -1
}

const longestOf = (unit: Unit): number => unit.reduce((most, { length }) => Math.max(most, length), 1)
