import type { ReadBytes } from './model'

/** The contents of a partition, by its signature. Nothing is mounted or followed. */
export interface Contents {
  /** E.g. "ext4", "NTFS", "LUKS". */
  format: string
  label?: string
}

interface Signature {
  format: string
  at: number
  magic: string
  label?: { at: number; length: number }
}

/** Where each format writes its name. The first that fits wins, so the more specific ones come first. */
const SIGNATURES: Signature[] = [
  { format: 'LUKS', at: 0, magic: 'LUKS\xba\xbe', label: { at: 24, length: 48 } },
  { format: 'XFS', at: 0, magic: 'XFSB', label: { at: 108, length: 12 } },
  { format: 'NTFS', at: 3, magic: 'NTFS    ' },
  { format: 'exFAT', at: 3, magic: 'EXFAT   ' },
  { format: 'FAT32', at: 82, magic: 'FAT32   ', label: { at: 71, length: 11 } },
  { format: 'FAT16', at: 54, magic: 'FAT16   ', label: { at: 43, length: 11 } },
  { format: 'FAT12', at: 54, magic: 'FAT12   ', label: { at: 43, length: 11 } },
  { format: 'SquashFS', at: 0, magic: 'hsqs' },
  { format: 'APFS', at: 32, magic: 'NXSB' },
  { format: 'LVM physical volume', at: 512, magic: 'LABELONE' },
  { format: 'HFS+', at: 1024, magic: 'H+\x00\x04' },
  { format: 'F2FS', at: 1024, magic: '\x10\x20\xf5\xf2' },
  { format: 'swap', at: 4086, magic: 'SWAPSPACE2', label: { at: 1052, length: 16 } },
  { format: 'ISO 9660', at: 32769, magic: 'CD001', label: { at: 32808, length: 32 } },
  { format: 'btrfs', at: 65600, magic: '_BHRfS_M', label: { at: 65835, length: 256 } },
]

const PROBED_BYTES = 66 * 1024

export async function probeContents(read: ReadBytes, start: number, length: number): Promise<Contents | undefined> {
  const bytes = await read(start, Math.min(length, PROBED_BYTES) & ~511)
  const text = (at: number, count: number) => {
    let result = ''
    for (const byte of bytes.subarray(at, at + count)) result += String.fromCharCode(byte)
    return result
  }
  const ext = probeExt(bytes)
  if (ext) return ext
  for (const { format, at, magic, label } of SIGNATURES) {
    if (text(at, magic.length) !== magic) continue
    return { format, ...labelled(label && cleanLabel(bytes.subarray(label.at, label.at + label.length))) }
  }
  return undefined
}

/** ext2, ext3 and ext4 share a magic number; their features distinguish them. */
function probeExt(bytes: Uint8Array): Contents | undefined {
  if (bytes.length < 2048 || bytes[1080] !== 0x53 || bytes[1081] !== 0xef) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const hasJournal = (view.getUint32(1024 + 92, true) & 0x4) !== 0
  const needsExt4 = (view.getUint32(1024 + 96, true) & 0x2c0) !== 0
  const format = needsExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2'
  return { format, ...labelled(cleanLabel(bytes.subarray(1024 + 120, 1024 + 136))) }
}

const labelled = (label: string | undefined): { label?: string } => (label ? { label } : {})

/** A label up to its terminator, without padding and without characters that can't be shown. */
function cleanLabel(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(bytes).replace(/\0.*$/s, '').trim()
  const shown = text.replace(/\p{C}/gu, '')
  return shown === 'NO NAME' ? undefined : shown || undefined
}
