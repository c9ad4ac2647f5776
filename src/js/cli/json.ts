/** A value of JSON; sizes may be bigints. */
export type Json = string | number | bigint | boolean | Json[] | { readonly [key: string]: Json | undefined }

/** JSON with four spaces for each level, as QEMU prints it; the members of an object come in QEMU's order. */
export function pretty(value: Json, indent = 0): string {
  const inner = ' '.repeat(4 * (indent + 1))
  const outer = ' '.repeat(4 * indent)
  if (Array.isArray(value)) {
    return `[\n${value.map((each) => `${inner}${pretty(each, indent + 1)}`).join(',\n')}${value.length ? '\n' : ''}${outer}]`
  }
  if (typeof value === 'object') {
    const members = ordered(value).map(([key, each]) => `${inner}${quoted(key)}: ${pretty(each, indent + 1)}`)
    return `{\n${members.join(',\n')}${members.length ? '\n' : ''}${outer}}`
  }
  return typeof value === 'string' ? quoted(value) : String(value)
}

/** The members that are there, in the order in which QEMU's dictionary has them. */
export function ordered(value: { readonly [key: string]: Json | undefined }): [string, Json][] {
  const members = Object.entries(value).filter((entry): entry is [string, Json] => entry[1] !== undefined)
  // Of two members with the same hash, the dictionary has the newer one first.
  return members
    .reverse()
    .map((entry) => ({ entry, bucket: bucket(entry[0]) }))
    .sort((a, b) => a.bucket - b.bucket)
    .map(({ entry }) => entry)
}

/** Where QEMU's dictionary, a hash table of 512 buckets, keeps a key. */
function bucket(key: string): number {
  const bytes = new TextEncoder().encode(key)
  let hash = Math.imul(0x238f13af, bytes.length)
  bytes.forEach((byte, index) => {
    hash = (hash + (byte << ((index * 5) % 24))) | 0
  })
  return (Math.imul(1103515243, hash) + 12345) & 511
}

/** A string in JSON, in printable ASCII. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(/\\u[0-9a-f]{4}|\\.|[\u007f-\uffff]/g, (each) => {
    if (each.startsWith('\\u')) return `\\u${each.slice(2).toUpperCase()}`
    return each.startsWith('\\') ? each : `\\u${each.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`
  })
}
