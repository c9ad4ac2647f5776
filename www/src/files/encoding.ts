/** Which encoding the text of a file has. */

/** What a person can choose where the guess is wrong. */
export const ENCODINGS = [
  'utf-8',
  'utf-16le',
  'utf-16be',
  'windows-1252',
  'windows-1250',
  'windows-1251',
  'koi8-r',
  'ibm866',
  'shift_jis',
  'euc-jp',
  'gb18030',
  'big5',
  'euc-kr',
]

/** Of so many bytes at most one in this many is a control character that text does not have. */
const CONTROL_SHARE = 200

/** How many bytes the guess looks at. More take long and help little. */
const SAMPLE = 32 * 1024

/**
 * The encoding of a text, as `TextDecoder` names it; `null` if it is no text. `isWhole` means that the bytes are all of the
 * file: else the last character may be cut.
 */
export async function encodingOf(bytes: Uint8Array, isWhole: boolean): Promise<string | null> {
  const [first, second, third] = bytes
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8'
  const wide = wideEncoding(bytes)
  if (wide) return wide
  if (controlCharacters(bytes) * CONTROL_SHARE > bytes.length) return null
  if (isUtf8(bytes, isWhole)) return 'utf-8'
  const { analyse } = await import('chardet')
  const guesses = analyse(bytes.subarray(0, SAMPLE)).map(({ name }) => name.toLowerCase())
  return guesses.find((name) => name !== 'utf-8' && name !== 'ascii' && canDecode(name)) ?? 'windows-1252'
}

/** The text of a file, in an encoding that `TextDecoder` knows. */
export const decoded = (bytes: Uint8Array, encoding: string): string => new TextDecoder(encoding).decode(bytes)

/** UTF-16 without a mark: in mostly Latin text every other byte is zero. */
function wideEncoding(bytes: Uint8Array): string | null {
  const sample = bytes.subarray(0, 2048)
  const pairs = sample.length >> 1
  if (pairs < 2) return null
  const zeros = [0, 0]
  for (const [index, byte] of sample.entries()) {
    if (byte === 0) zeros[index & 1] = (zeros[index & 1] ?? 0) + 1
  }
  const [even = 0, odd = 0] = zeros
  if (odd > pairs * 0.7 && even < pairs * 0.02) return 'utf-16le'
  if (even > pairs * 0.7 && odd < pairs * 0.02) return 'utf-16be'
  return null
}

function isUtf8(bytes: Uint8Array, isWhole: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: !isWhole })
    return true
  } catch {
    return false
  }
}

/** All but tabs, ends of lines and pages, and the escape of terminals. */
function controlCharacters(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) {
    if (byte === 0) count += CONTROL_SHARE
    else if (byte < 0x20 && (byte < 9 || byte > 13) && byte !== 0x1b) count += 1
  }
  return count
}

function canDecode(encoding: string): boolean {
  try {
    new TextDecoder(encoding)
    return true
  } catch {
    return false
  }
}
