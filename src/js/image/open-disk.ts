import { flag, oneOf, optionsIn, signalIn } from '../base/arguments.js'
import { isQcow2Error, Qcow2Error } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import type { WritableDisk } from '../disk/disk.js'
import { RawDisk } from '../disk/raw-disk.js'
import type { OpenOptions } from '../engine/options/open.js'
import { type Source, storageOf } from '../storage/source.js'
import { Qcow2 } from './qcow2.js'

/** How {@link raw} opens. */
export interface RawOptions extends RequestOptions {
  /** Opens the disk for writing too. Default: false. */
  readonly writable?: boolean | undefined
}

/** How {@link openDisk} opens. A raw disk needs no option but `writable` and `signal`. */
export interface OpenDiskOptions extends OpenOptions {
  /** The format. Default: `qcow2`; a raw disk has to be asked for, because its guest decides what its first bytes are. */
  readonly format?: 'qcow2' | 'raw' | undefined
}

/**
 * Opens the bytes of a file as a disk, whatever they are. The disk owns the storage, and closes it with itself. The size of the
 * disk stays that of the file at the opening.
 *
 * ```ts
 * await using disk = await raw(blob(file))
 * const partition = disk.slice(1024 * 1024, 512 * 1024 * 1024)
 * ```
 *
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT`, `STORAGE`, `IN_USE`, `READ_ONLY`; or the signal's reason.
 *
 * @example
 * ```ts
 * const disk = await raw(memory(new Uint8Array(1024 ** 2)))
 * const partition = disk.slice(512 * 1024, 512 * 1024)
 * console.log(await partition.read(0, 512))
 * ```
 */
export async function raw(source: Source, options: RawOptions = {}): Promise<WritableDisk> {
  const writable = flag(optionsIn(options).writable, 'writable')
  return RawDisk.open(storageOf(source, 'The raw disk'), writable, signalIn(options))
}

/**
 * Opens a disk of either format. A qcow2 image is known by its first bytes, as are the formats that are refused by name; a raw
 * disk, which could look like anything, only if that is asked for.
 *
 * @throws {@link Qcow2Error} what {@link Qcow2.open} and {@link raw} reject with.
 *
 * @example
 * ```ts
 * const disk = await openDisk(file, { format: 'raw' }) // Without `format`, only a qcow2 image is opened.
 * console.log(disk.size)
 * ```
 */
export function openDisk(source: Source, options: OpenDiskOptions = {}): Promise<WritableDisk> {
  return openProbed(source, options, 'format')
}

/** As {@link openDisk}; `option` is the name by which the caller was asked for the format. */
export async function openProbed(source: Source, options: OpenDiskOptions, option: string): Promise<WritableDisk> {
  const { format = 'qcow2', ...rest } = optionsIn(options)
  if (oneOf(format, ['qcow2', 'raw'], option) === 'raw') return raw(source, rest)
  try {
    return await Qcow2.open(source, rest)
  } catch (error) {
    if (!isQcow2Error(error) || error.code !== 'NOT_QCOW2') throw error
    const reason = `${error.reason} If it is a raw disk, say so: ${option}: 'raw'.`
    throw new Qcow2Error('NOT_QCOW2', reason, { offset: error.offset, cause: error })
  }
}
