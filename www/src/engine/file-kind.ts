/** What a file is that is no qcow2 image, by its first bytes and its last ones. */

import { readFrom, type SourceFile, sizeOf } from './source'

export type FileKind =
  | 'vhd-fixed'
  | 'vhd'
  | 'vhdx'
  | 'vmdk'
  | 'vmdk-descriptor'
  | 'vdi'
  | 'qed'
  | 'qcow1'
  | 'parallels'
  | 'dmg'
  | 'ova'
  | 'tar'
  | 'gzip'
  | 'bzip2'
  | 'xz'
  | 'zstd'
  | 'lz4'
  | 'zip'
  | '7z'
  | 'rar'
  | 'html'
  | 'lfs-pointer'

/** How a file is compressed that this page can decompress. */
export type Compression = Extract<FileKind, 'gzip' | 'xz' | 'zstd'>

export const isCompression = (kind: FileKind | null): kind is Compression =>
  kind === 'gzip' || kind === 'xz' || kind === 'zstd'

const START = 1024
const FOOTER = 512

/** The offset and the signature of each kind, as characters of one byte. */
const SIGNATURES: [kind: FileKind, at: number, magic: string][] = [
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vmdk-descriptor', 0, '# Disk DescriptorFile'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
  ['vhdx', 0, 'vhdxfile'],
  ['vhd', 0, 'conectix'],
  ['qed', 0, 'QED\0'],
  ['qcow1', 0, 'QFI\xfb\0\0\0\x01'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['tar', 257, 'ustar'],
  ['gzip', 0, '\x1f\x8b'],
  ['bzip2', 0, 'BZh'],
  ['xz', 0, '\xfd7zXZ\0'],
  ['zstd', 0, '\x28\xb5\x2f\xfd'],
  ['lz4', 0, '\x04\x22\x4d\x18'],
  ['zip', 0, 'PK\x03\x04'],
  ['7z', 0, '7z\xbc\xaf\x27\x1c'],
  ['rar', 0, 'Rar!\x1a\x07'],
  ['lfs-pointer', 0, 'version https://git-lfs.github.com/spec/'],
]

/** Returns the kind of a file; `null` for an unknown one, such as a raw disk. */
export async function fileKindOf(file: SourceFile, signal: AbortSignal): Promise<FileKind | null> {
  const size = await sizeOf(file)
  const first = await readFrom(file, 0, Math.min(START, size), signal)
  const footer = size > FOOTER ? await readFrom(file, size - FOOTER, FOOTER, signal) : new Uint8Array(0)
  return kindOf(first, footer, file.name)
}

export function kindOf(first: Uint8Array, footer: Uint8Array, name: string): FileKind | null {
  const start = characters(first)
  const found = SIGNATURES.find(([, at, magic]) => start.startsWith(magic, at))?.[0]
  // An OVA is a tar archive with a description of the machine as its first member.
  if (found === 'tar') return /\.ova$/i.test(name) || /^[^\0]*\.ovf\0/i.test(start) ? 'ova' : 'tar'
  if (found) return found
  if (/^\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b/is.test(start)) return 'html'
  const end = characters(footer)
  // These two begin with the bytes of the disk.
  if (end.startsWith('conectix')) return 'vhd-fixed'
  return end.startsWith('koly') ? 'dmg' : null
}

const characters = (bytes: Uint8Array): string => String.fromCharCode(...bytes)
