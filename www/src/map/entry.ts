/** The words of L1 and L2 entries, for people. */

const COPIED = 1n << 63n
const COMPRESSED = 1n << 62n
const ZERO = 1n

/** "0x8000_0000_0005_0000": sixteen digits in groups of four. */
export function entryText(entry: bigint): string {
  const digits = entry.toString(16).padStart(16, '0')
  return `0x${digits.match(/.{4}/g)?.join('_') ?? digits}`
}

/** The flags that are set. Bit 0 means zero in L2 entries of version 3 only. */
export function entryFlags(entry: bigint, level2: boolean, version: number): string[] {
  const flags: string[] = []
  if (entry & COPIED) flags.push('COPIED')
  if (!level2) return flags
  if (entry & COMPRESSED) flags.push('compressed')
  else if (version >= 3 && entry & ZERO) flags.push('reads as zero')
  return flags
}

export type Subcluster = 'data' | 'zero' | 'unallocated' | 'invalid'

/** The 32 subclusters of an extended L2 entry's second word: allocated below, zero above. */
export function subclusters(bitmap: bigint): Subcluster[] {
  return Array.from({ length: 32 }, (_, index) => {
    const allocated = (bitmap >> BigInt(index)) & 1n
    const zero = (bitmap >> BigInt(32 + index)) & 1n
    if (allocated && zero) return 'invalid'
    return allocated ? 'data' : zero ? 'zero' : 'unallocated'
  })
}
