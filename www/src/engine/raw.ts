/** Disks that are stored as they are: raw disks, ISO images, and fixed VHDs without their last sector. */

import { type Disk, raw } from 'qcow2-web'
import { mayHaveFiles, readPartitions } from '../partitions'
import type { FileKind } from './file-kind'
import { readFrom, type SourceFile, sizeOf } from './source'

/** The length of the footer after the disk of a fixed VHD. */
const VHD_FOOTER = 512

/** Opens the bytes of a file as a disk. Close `whole` after use: `disk` may be a slice of it. */
export async function rawDisk(
  { storage }: SourceFile,
  kind: FileKind | null,
  signal: AbortSignal,
): Promise<{ disk: Disk; whole: Disk }> {
  const whole = await raw(storage, { signal })
  return { disk: kind === 'vhd-fixed' ? whole.slice(0, whole.size - VHD_FOOTER) : whole, whole }
}

/** Whether a file that is no image has what only a disk has: a partition table, or a file system. */
export async function looksLikeDisk(file: SourceFile, kind: FileKind | null, signal: AbortSignal): Promise<boolean> {
  if (kind !== null && kind !== 'vhd-fixed') return false
  try {
    const size = await sizeOf(file)
    const table = await readPartitions((offset, length) => readFrom(file, offset, length, signal), size)
    return mayHaveFiles(table) || table.partitions.length > 0
  } catch {
    return false
  }
}
