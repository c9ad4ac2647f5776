/** Converting a disk to a file of the browser's storage, or to one that the person chose. */

import { type ConvertOptions, convert, type Disk, opfs } from 'qcow2-web'
import { copyTo, writeRaw } from './chosen-file'
import type { Conversion, ConversionTarget, OnProgress, Watch } from './protocol'

/** Converts a disk. If that fails, the file does not exist, or is as it was. Returns how many bytes could not be read. */
export async function convertDisk(
  disk: Disk,
  target: ConversionTarget,
  how: Conversion,
  { signal, onProgress }: Watch,
): Promise<number> {
  if ('path' in target) return convertTo(disk, target.path, { ...how, signal, onProgress })
  const { handle } = target
  const { offset = 0, length = disk.size } = how.range ?? {}
  if (how.format === 'raw' && !how.salvage) {
    const [start, total] = [Number(offset), Number(length)]
    await writeRaw(disk, { start, end: start + total }, handle, { signal, onProgress })
    return 0
  }
  // Converting reads the image's tables back, which a chosen file does not allow: the image is made elsewhere and copied.
  const path = `.converting-${crypto.randomUUID()}`
  const unreadable = await convertTo(disk, path, { ...how, signal, onProgress: firstHalf(onProgress) })
  try {
    await copyTo(await opfs.file(path), handle, { signal, onProgress: secondHalf(onProgress) })
  } finally {
    await opfs.delete(path).catch(() => {})
  }
  return unreadable
}

const firstHalf =
  (onProgress: OnProgress): OnProgress =>
  ({ done, total }) =>
    onProgress({ done, total: 2 * total })

const secondHalf =
  (onProgress: OnProgress): OnProgress =>
  ({ done, total }) =>
    onProgress({ done: total + done, total: 2 * total })

async function convertTo(disk: Disk, path: string, options: ConvertOptions): Promise<number> {
  try {
    return (await convert(disk, opfs(path, { create: true }), options)).unreadableBytes
  } catch (error) {
    await opfs.delete(path).catch(() => {})
    throw error
  }
}
