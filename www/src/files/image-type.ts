/** The first bytes of images that browsers can draw. `undefined` matches any byte. */
const MAGIC: [type: string, ...bytes: (number | undefined)[]][] = [
  ['image/png', 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
  ['image/jpeg', 0xff, 0xd8, 0xff],
  ['image/gif', 0x47, 0x49, 0x46, 0x38],
  ['image/webp', 0x52, 0x49, 0x46, 0x46, undefined, undefined, undefined, undefined, 0x57, 0x45, 0x42, 0x50],
  ['image/bmp', 0x42, 0x4d, undefined, undefined, undefined, undefined, 0, 0, 0, 0],
  ['image/x-icon', 0, 0, 1, 0, undefined, 0],
  ['image/avif', 0, 0, 0, undefined, 0x66, 0x74, 0x79, 0x70, 0x61, 0x76, 0x69, 0x66],
]

/** The type of an image, by its first bytes; `null` if it is none. */
export function imageType(bytes: Uint8Array): string | null {
  const found = MAGIC.find(([, ...magic]) => magic.every((byte, at) => byte === undefined || bytes[at] === byte))
  return found ? found[0] : null
}
