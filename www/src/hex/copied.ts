/** Bytes as text for the clipboard. */

export const COPY_FORMATS = { hex: 'Hexadecimal', text: 'Text', c: 'C array', base64: 'Base64' } as const
export type CopyFormat = keyof typeof COPY_FORMATS

export function copied(bytes: Uint8Array, format: CopyFormat): string {
  switch (format) {
    case 'hex':
      return pairs(bytes).join(' ')
    case 'text':
      return new TextDecoder().decode(bytes)
    case 'c':
      return `const unsigned char data[${bytes.length}] = {\n${cRows(bytes).join(',\n')}\n};\n`
    case 'base64':
      return base64(bytes)
  }
}

const pairs = (bytes: Uint8Array): string[] => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))

const C_COLUMNS = 12

function cRows(bytes: Uint8Array): string[] {
  const all = pairs(bytes).map((pair) => `0x${pair}`)
  return Array.from({ length: Math.ceil(all.length / C_COLUMNS) }, (_, row) => {
    return `  ${all.slice(row * C_COLUMNS, (row + 1) * C_COLUMNS).join(', ')}`
  })
}

function base64(bytes: Uint8Array): string {
  // In parts, for each byte is an argument.
  const characters = []
  for (let at = 0; at < bytes.length; at += 4096) {
    characters.push(String.fromCharCode(...bytes.subarray(at, at + 4096)))
  }
  return btoa(characters.join(''))
}
