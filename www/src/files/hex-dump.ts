import { printable } from '../hex/decode'

/** Lines of an offset, the bytes from there in hexadecimal, and their text. */
export function hexDump(bytes: Uint8Array, perLine: number): string {
  const lines: string[] = []
  const digits = Math.max(4, bytes.length.toString(16).length)
  for (let at = 0; at < bytes.length; at += perLine) {
    const line = [...bytes.subarray(at, at + perLine)]
    const hex = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = line.map(printable).join('')
    lines.push(`${at.toString(16).padStart(digits, '0')}  ${hex.padEnd(perLine * 3 - 1)}  ${text}`)
  }
  return lines.join('\n')
}
