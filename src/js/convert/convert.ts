import { whenAborted } from '../base/abort.js'
import { callback, flag, integer, oneOf, optionsIn, watchIn } from '../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { WritableStorage } from '../base/storage/contract.js'
import type { Disk } from '../disk/disk.js'
import type { RangeOptions } from '../disk/extent.js'
import { type CreateOptions, hostCreateOptions } from '../engine/options/create.js'
import type { Packing } from '../engine/packer.js'
import { ImageDisk } from '../image/image-disk.js'
import { openProbed } from '../image/open-disk.js'
import { Qcow2 } from '../image/qcow2.js'
import { type Source, storageOf, type WritableSource } from '../storage/source.js'
import type { MappedDisk } from './compare.js'
import { copy, partSize } from './copy.js'
import { Destination } from './destination.js'
import { Losses, type UnreadableRange } from './losses.js'
import { startPackers, workersWanted } from './packers.js'
import { concatenated, part, wholeSectors } from './sources.js'
import { copyBitmaps, copyStates, firstSize, keptSource } from './states.js'
import { type ConvertTarget, compressedTarget, type Layout, plainTarget, rawTarget, type Zeros } from './target.js'

/** How {@link convert} converts. Progress is reported in bytes of the disk. */
export interface ConvertOptions
  extends LongOptions,
    Pick<
      CreateOptions,
      | 'version'
      | 'clusterSize'
      | 'refcountBits'
      | 'lazyRefcounts'
      | 'extendedL2'
      | 'compression'
      | 'encryption'
      | 'overwrite'
      | 'cache'
      | 'cacheSize'
      | 'worker'
      | 'backing'
      | 'preallocation'
    > {
  /** What to make: a qcow2 image, or a raw file, which takes no options of images. Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /**
   * The format of a source that is not an open disk, as in {@link openDisk}. Default: `qcow2`; a raw disk has to be asked for.
   */
  readonly sourceFormat?: 'qcow2' | 'raw' | undefined
  /** Converts only a part of the source: the new disk begins at its first byte, and has its length. Default: all of the source. */
  readonly range?: RangeOptions | undefined
  /** Compresses the clusters. Default: false. */
  readonly compressed?: boolean | undefined
  /**
   * How many workers compress the clusters of a compressed image, at most; 0 compresses them in this thread. Images are the same for any
   * number. In Node, where zlib has threads of its own, it only matters for zstd. Default: one less than there are processors, 8
   * at most; 0 where there are no workers.
   */
  readonly workers?: number | undefined
  /**
   * How many zero bytes in a row are not stored: of a raw file in blocks of 4096 bytes, of an image in whole clusters. 0 stores
   * everything, zeros too. Default: 4096.
   */
  readonly sparseSize?: number | undefined
  /** Looks for zeros in what is stored. False stores it as it is; what is not stored stays out all the same. Default: true. */
  readonly detectZeroes?: boolean | undefined
  /** Writes into a raw file that exists and is large enough, instead of replacing it. Default: false. */
  readonly existing?: boolean | undefined
  /** The target that exists reads as zeros, so that no zeros need to be written. Default: false. */
  readonly targetIsZero?: boolean | undefined
  /**
   * Goes on past what cannot be read: sectors of 512 bytes that become zeros, and that the result lists. Default: false, the first one
   * ends the conversion.
   */
  readonly salvage?: boolean | undefined
  /**
   * Keeps the snapshots of a qcow2 image, with their VM states, in their order: each is copied with what differs from the one before.
   * They get ids from 1 on. Needs one whole image as the source, and a new image as the target. Default: false.
   */
  readonly snapshots?: boolean | undefined
  /** Keeps the dirty bitmaps of a qcow2 image; inconsistent ones are left out. Needs what `snapshots` needs. Default: false. */
  readonly bitmaps?: boolean | undefined
  /**
   * Converts an image whose file is cut off: what is missing of it reads as zeros. Default: false, such an image is refused with code
   * `TRUNCATED`, unless `salvage` is asked for.
   */
  readonly acceptMissing?: boolean | undefined
  /** With `salvage`, called for each sector that cannot be read, with its offset and the error. */
  readonly onUnreadable?: ((offset: number, error: unknown) => void) | undefined
}

/** What came of a {@link convert}. */
export interface Conversion {
  /** What could not be read of the source, and is zeros now, in order; the first 1000 ranges. Empty without `salvage`. */
  readonly unreadable: readonly UnreadableRange[]
  /** How many bytes could not be read, also those of ranges that are not listed. */
  readonly unreadableBytes: number
}

/** What {@link convert} reads: an open disk, or anything with its `size`, `read` and `map`; or the bytes of a file. */
export type ConvertSource = MappedDisk | Source

/**
 * Makes a new image, or a raw file, that shows the same disk as another: what `qemu-img convert` does. The new one has no room for
 * what is zeros, and no snapshots unless they are to be kept, which QEMU cannot.
 *
 * With `backing`, the new image is an overlay: only what the first file of the source's chain holds is copied, and the backing file
 * must show what the rest of that chain shows.
 *
 * Memory stays bounded: at most two parts of the disk, of 1 MiB or a cluster, are under way at one time, or two for each worker.
 * They are stored in the order of the disk.
 *
 * @param source what is copied, or a list of disks that follow each other. An open disk of any kind stays open, and may not be
 * written meanwhile. The conversion takes over a storage of an image, or of a raw disk ({@link ConvertOptions.sourceFormat}), and
 * closes it in the end. An image that needs other files has to be opened by {@link Qcow2.open}.
 * @param target where the new image is to be: an empty storage, or any with `overwrite`. The conversion takes it over, and closes it
 * in the end. With `overwrite`, the new image is written beside a file of {@link nodeFile} or {@link opfs}, and replaces it when it
 * is complete: if the conversion fails, the old file is as it was. Other storages are overwritten: the source is opened, and its
 * tables are read, before the target is written; if the conversion fails after that, the storage is emptied if possible. Or an open
 * image, which is written and stays open; what a failed conversion has written stays in it.
 * @returns what could not be read.
 * @throws {@link Qcow2Error} what {@link Qcow2.create} and {@link Qcow2.read} reject with; `TRUNCATED`; `NO_COMPRESSION` for an encrypted image;
 * `WOULD_SHRINK` for a target that exists and is too small; `WORKER_DIED`; or the signal's reason.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(file)
 * await convert(image, opfs('small.qcow2', { create: true }), { compressed: true })
 * ```
 */
export async function convert(
  source: ConvertSource | readonly ConvertSource[],
  target: WritableSource | Qcow2,
  options: ConvertOptions = {},
): Promise<Conversion> {
  const into = target instanceof Qcow2 ? target : (storageOf(target, 'The target') as WritableStorage)
  const { sourceFormat: format, range } = optionsIn(options)
  optionsIn(range, 'range')
  const { signal } = watchIn(options)
  const make = maker(into instanceof Qcow2 ? into : undefined, options)
  const owned: Disk[] = []
  try {
    const disks: MappedDisk[] = []
    for (const each of isList(source) ? source : [source]) {
      if (isMapped(each)) disks.push(each)
      else {
        const disk = await openProbed(each, { format, signal }, 'sourceFormat')
        owned.push(disk)
        disks.push(disk)
      }
    }
    for (const disk of disks) await checkWhole(disk, options)
    const [only] = disks
    const kept = { snapshots: flag(options.snapshots, 'snapshots'), bitmaps: flag(options.bitmaps, 'bitmaps') }
    const keeps = keptSource(disks, range, kept)
    if (keeps && (into instanceof Qcow2 || options.format === 'raw')) {
      throw invalidArgument('Snapshots and bitmaps can only be kept in a new qcow2 image.')
    }
    const clusterSize =
      options.salvage && !range && only && disks.length === 1 ? await clusterSizeOf(only, signal) : undefined
    const disk = wholeSectors(part(concatenated(disks), range))
    return await convertDisk({ disk, keeps, clusterSize }, into, make, options)
  } finally {
    for (const each of owned) await each.close()
  }
}

/** Refuses an image whose file is cut off, unless that is accepted. */
async function checkWhole(disk: MappedDisk, { acceptMissing, salvage, signal }: ConvertOptions): Promise<void> {
  if (acceptMissing || salvage || !(disk instanceof ImageDisk)) return
  const { missing } = await disk.info({ signal })
  if (missing === 0) return
  const reason = `The image's file is cut off: ${missing} bytes of it are missing.`
  throw new Qcow2Error('TRUNCATED', `${reason} Convert with acceptMissing to take them for zeros.`)
}

function isList(source: ConvertSource | readonly ConvertSource[]): source is readonly ConvertSource[] {
  return Array.isArray(source)
}

function isMapped(source: ConvertSource): source is MappedDisk {
  const { size, map } = (source ?? {}) as { readonly size?: unknown; readonly map?: unknown }
  return typeof size === 'number' && typeof map === 'function'
}

/** Makes the target for a disk of a size; in `storage`, unless an open image is the target. */
type Make = (size: number, storage: WritableStorage) => Promise<Made>

/** A target. */
interface Made {
  readonly target: ConvertTarget<unknown>
  /** The image that is written, and the same target for a disk that is copied over another one. */
  readonly over?: { readonly image: Qcow2; readonly next: ConvertTarget<unknown> }
}

/** Checks the options. */
function maker(target: Qcow2 | undefined, options: ConvertOptions): Make {
  const { format = 'qcow2', workers, onProgress: _, sourceFormat: __, range: ___, ...others } = options
  const { snapshots: ____, bitmaps: _____, ...rest } = others
  const { clusterSize = 64 * 1024, encryption } = rest
  const [compressed, existing] = [flag(options.compressed, 'compressed'), flag(options.existing, 'existing')]
  const overwrite = flag(rest.overwrite, 'overwrite')
  const targetIsZero = flag(options.targetIsZero, 'targetIsZero', !existing && !target)
  const sparse = integer(options.sparseSize ?? 4096, 'sparseSize')
  const sparseSize = flag(options.detectZeroes, 'detectZeroes', true) ? sparse : 0
  callback(options.onUnreadable, 'onUnreadable')
  flag(options.salvage, 'salvage')
  flag(options.acceptMissing, 'acceptMissing')
  hostCreateOptions({ ...rest, size: 0 })
  const zeros: Zeros = { isZero: targetIsZero && !options.backing, sparseSize }
  const count = workersWanted(workers)
  if (oneOf(format, ['qcow2', 'raw'], 'format') === 'raw' && !target) {
    if (compressed) throw invalidArgument('A raw file has no clusters to be compressed.')
    return async (size, storage) => ({
      target: await rawTarget(storage, size, { existing, overwrite, zeros }, rest.signal),
    })
  }
  if (compressed && encryption) {
    throw new Qcow2Error('NO_COMPRESSION', 'An encrypted image takes no compressed clusters.')
  }
  return async (size, storage) => {
    const kind = target ? await kindOf(target, size) : newKind(clusterSize, rest)
    // No more than there is to do.
    const wanted = Math.min(count, Math.ceil(size / partSize))
    const packers = compressed ? await startPackers(wanted, kind.packing) : undefined
    try {
      const image = target ?? (await Qcow2.create(storage, { ...rest, size }))
      const close = () => (target ? target.flush() : image.close())
      const to = (zeros: Zeros) =>
        packers
          ? compressedTarget(image, kind.layout, packers, zeros, close)
          : plainTarget(image, kind.layout, zeros, close)
      return { target: to(zeros), over: { image, next: to({ ...zeros, isZero: false }) } }
    } catch (error) {
      packers?.end()
      throw error
    }
  }
}

/** How the clusters of an image are made. */
interface Kind {
  readonly packing: Packing
  readonly layout: Layout
}

function kind(clusterSize: number, isZstd: boolean, extendedL2: boolean): Kind {
  return {
    packing: { clusterSize, compression: isZstd ? 'zstd' : 'zlib' },
    layout: { unit: extendedL2 ? clusterSize / 32 : clusterSize, clusterSize },
  }
}

function newKind(clusterSize: number, { compression, extendedL2 = false }: ConvertOptions): Kind {
  return kind(clusterSize, compression === 'zstd', extendedL2)
}

async function kindOf(image: Qcow2, size: number): Promise<Kind> {
  if (image.size < size) {
    throw new Qcow2Error('WOULD_SHRINK', `The target has ${image.size} bytes, but the source has ${size}.`)
  }
  const { clusterSize, compressionType, extendedL2 } = await image.info()
  return kind(clusterSize, compressionType === 'zstd', extendedL2)
}

/** The cluster size of an image that has no backing file: all errors of its compressed clusters are about clusters of that size. */
async function clusterSizeOf(disk: MappedDisk, signal: AbortSignal | undefined): Promise<number | undefined> {
  if (!(disk instanceof ImageDisk)) return undefined
  const { chain, clusterSize } = await disk.info({ signal })
  return chain.length === 1 ? clusterSize : undefined
}

/** What is converted. */
interface Converted {
  readonly disk: MappedDisk
  /** The image whose snapshots or bitmaps are kept. */
  readonly keeps: Qcow2 | undefined
  /** See {@link clusterSizeOf}. */
  readonly clusterSize: number | undefined
}

async function convertDisk(
  { disk, keeps, clusterSize }: Converted,
  storage: WritableStorage | Qcow2,
  make: Make,
  options: ConvertOptions,
): Promise<Conversion> {
  const { onUnreadable, sparseSize, backing, onProgress } = options
  const losses = options.salvage ? new Losses(onUnreadable, clusterSize) : undefined
  // The target keeps what it holds if the tables of the source cannot be read.
  if (options.overwrite && !losses) for await (const _ of disk.map({ signal: options.signal }));
  const destination = await Destination.open(storage, options)
  let made: Made
  try {
    made = await make(keeps && options.snapshots ? firstSize(keeps) : disk.size, destination.storage)
  } catch (error) {
    await destination.leave()
    throw error
  }
  const { target, over } = made
  // The first failure ends the others.
  const stop = new AbortController()
  const ignore = options.signal ? whenAborted({ signal: options.signal }, (reason) => stop.abort(reason)) : () => {}
  let failed: { readonly error: unknown } | undefined
  try {
    const how = {
      everything: sparseSize === 0,
      exact: options.detectZeroes === false || (sparseSize ?? 0) > 4096 || backing !== undefined,
      topOnly: backing !== undefined,
      losses,
    }
    if (keeps && over && options.snapshots) {
      await copyStates(keeps, { ...over, first: target }, stop, how, onProgress)
    } else await copy(disk, target, stop, how, onProgress)
    if (keeps && over && options.bitmaps) await copyBitmaps(keeps, over.image, stop.signal)
  } catch (error) {
    failed = { error }
  }
  ignore()
  try {
    await target.close()
  } catch (error) {
    failed ??= { error }
  }
  if (failed) {
    await destination.undo()
    throw failed.error
  }
  await destination.keep()
  return { unreadable: losses?.ranges ?? [], unreadableBytes: losses?.bytes ?? 0 }
}
