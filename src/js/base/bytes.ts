/** The size of a sector: what two disks are compared by. */
const sector = 512

/** True if all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  return firstNonZeroSector(bytes) === bytes.length
}

/** Where the first sector begins that is not all zeros; the length of `bytes` if there is none. */
export function firstNonZeroSector(bytes: Uint8Array): number {
  return sectorOf(firstMismatch(bytes), bytes)
}

/** Where the first sector begins in which two arrays of the same length differ; their length if there is none. */
export function firstDifferentSector(one: Uint8Array, other: Uint8Array): number {
  return sectorOf(firstMismatch(one, other), one)
}

function sectorOf(at: number, bytes: Uint8Array): number {
  return at === bytes.length ? at : at - (at % sector)
}

/** The index of the first byte that differs from `other`, or from zero; the length if none does. */
function firstMismatch(one: Uint8Array, other?: Uint8Array): number {
  const isAligned = one.byteOffset % 4 === 0 && (other === undefined || other.byteOffset % 4 === 0)
  const words = isAligned ? one.length >> 2 : 0
  const first = new Uint32Array(one.buffer, isAligned ? one.byteOffset : 0, words)
  let at = 0
  if (other) {
    const second = new Uint32Array(other.buffer, isAligned ? other.byteOffset : 0, words)
    while (at < words && first[at] === second[at]) at += 1
  } else while (at < words && first[at] === 0) at += 1
  for (at *= 4; at < one.length; at += 1) if (one[at] !== (other ? other[at] : 0)) return at
  return one.length
}
