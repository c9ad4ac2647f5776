/** What a search looks for, as bytes. */

/** How what was typed is meant. */
export const NEEDLE_KINDS = ['text', 'utf-8', 'utf-16le', 'utf-16be', 'hex'] as const
export type NeedleKind = (typeof NEEDLE_KINDS)[number]

export interface Query {
  typed: string
  kind: NeedleKind
  /** Whether capital letters differ from small ones. */
  matchCase: boolean
}

/** A character or a byte: the byte sequences that stand for it. None stands for any byte. */
export type Unit = readonly Uint8Array[]

/** Sequences of units. Each of them is a match. */
export type Needle = readonly (readonly Unit[])[]

/** The longest text that is searched for, in characters. */
const LONGEST = 1000

/** Returns the needle of a query, or a sentence with the reason why there is none. */
export function needleOf({ typed, kind, matchCase }: Query): Needle | string {
  if (kind === 'hex') return hexNeedle(typed)
  if (typed.length > LONGEST) return `Search for at most ${LONGEST} characters.`
  const encodings = kind === 'text' ? (['utf-8', 'utf-16le'] as const) : [kind]
  return encodings.map((encoding) =>
    [...typed].map((character) => variants(character, matchCase).map((each) => encoded(each, encoding))),
  )
}

/** Pairs of digits, with or without spaces and commas between them. "??" is any byte. */
function hexNeedle(typed: string): Needle | string {
  const digits = typed.replace(/0x|[\s,:]/gi, '')
  const pairs = digits.match(/[\da-f]{2}|\?\?/gi) ?? []
  if (pairs.join('') !== digits) return 'Write pairs of hexadecimal digits, such as 51 46 49 fb. ?? is any byte.'
  if (pairs.length > LONGEST) return `Search for at most ${LONGEST} bytes.`
  if (pairs.length > 0 && pairs.every((pair) => pair === '??')) return 'Write at least one byte besides ??.'
  return [pairs.map((pair) => (pair === '??' ? [] : [Uint8Array.of(Number.parseInt(pair, 16))]))]
}

function variants(character: string, matchCase: boolean): string[] {
  return matchCase ? [character] : [...new Set([character, character.toLowerCase(), character.toUpperCase()])]
}

function encoded(text: string, encoding: 'utf-8' | 'utf-16le' | 'utf-16be'): Uint8Array {
  if (encoding === 'utf-8') return new TextEncoder().encode(text)
  const view = new DataView(new ArrayBuffer(2 * text.length))
  for (let index = 0; index < text.length; index += 1) {
    view.setUint16(2 * index, text.charCodeAt(index), encoding === 'utf-16le')
  }
  return new Uint8Array(view.buffer)
}
