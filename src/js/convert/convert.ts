import { whenAborted } from '../base/abort.js'
import { oneOf } from '../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Storage, WritableStorage } from '../base/storage/contract.js'
import { checkedStorage } from '../base/storage/contract.js'
import type { CreateOptions } from '../engine/options/create.js'
import { overlay } from '../image/overlay.js'
import { Qcow2 } from '../image/qcow2.js'
import { memory } from '../storage/memory/memory.js'
import { startPackers, workersWanted } from './packers.js'
import { RawFile } from './raw-file.js'
import { type ConvertTarget, packedTarget, plainTarget, rawTarget } from './target.js'

/** How {@link convert} converts. Progress is told in bytes of the disk. */
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
    > {
  /** What to make: a qcow2 image, or a raw file, which takes no options of images. Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /** Packs the clusters. Default: false. */
  readonly compressed?: boolean | undefined
  /**
   * How many workers pack the clusters of a compressed image, at most; 0 packs them in this thread. What comes out is the same.
   * Default: one less than there are processors, 8 at most; 0 where there are no workers, as in Node.
   */
  readonly workers?: number | undefined
}

/**
 * Makes a new image, or a raw file, that shows the same disk as another: what `qemu-img convert` does. The new one has no backing
 * file and no snapshots, and no room for what is zeros.
 *
 * Memory stays bounded: at most two parts of the disk, of 1 MiB or a cluster, are under way at one time, or two for each worker.
 * They are stored in the order of the disk.
 *
 * @param source an open image, one of its snapshots, or a raw disk. An image stays open, and may not be written meanwhile; a raw
 * disk is taken over, and closed in the end.
 * @param target where the new one is to be: an empty storage, but for `overwrite`. It is taken over, and closed in the end. If this
 * fails after the new one was begun, the storage is made empty again, as far as it can be.
 * @throws {@link Qcow2Error} what {@link Qcow2.create} and {@link Qcow2.read} reject with; `NO_COMPRESSION` for an encrypted image;
 * `WORKER_DIED`; or the signal's reason.
 */
export async function convert(
  source: Qcow2 | Storage,
  target: WritableStorage,
  options: ConvertOptions = {},
): Promise<void> {
  checkedStorage(target, 'The target')
  const { signal } = options
  const make = maker(target, options)
  if (source instanceof Qcow2) return convertDisk(source, target, make, options)
  const raw = checkedStorage(source, 'The source')
  const disk = await overlay(raw, memory(), { format: 'raw', signal })
  try {
    await convertDisk(disk, target, make, options)
  } finally {
    await disk.close()
  }
}

/** Makes the target for a disk of a size. */
type Make = (size: number) => Promise<ConvertTarget<unknown>>

/** Parts are of this many bytes, or of a cluster. */
const partSize = 1024 * 1024

/** Checks the options. */
function maker(target: WritableStorage, options: ConvertOptions): Make {
  const { format = 'qcow2', compressed = false, workers, onProgress: _, ...rest } = options
  const { clusterSize = 64 * 1024, compression = 'deflate', encryption, overwrite = false } = rest
  const count = workersWanted(workers)
  if (oneOf(format, ['qcow2', 'raw'], 'format') === 'raw') {
    if (compressed) throw invalidArgument('A raw file has no clusters to be compressed.')
    return (size) => rawTarget(target, size, overwrite, rest.signal)
  }
  if (!compressed) return (size) => plainTarget(target, { ...rest, size }, clusterSize)
  if (encryption) throw new Qcow2Error('NO_COMPRESSION', 'An encrypted image takes no compressed clusters.')
  return async (size) => {
    // No more than there is to do.
    const packers = await startPackers(Math.min(count, Math.ceil(size / partSize)), { compression, clusterSize })
    try {
      return await packedTarget(target, { ...rest, size }, clusterSize, packers)
    } catch (error) {
      packers.end()
      throw error
    }
  }
}

async function convertDisk(disk: Qcow2, storage: WritableStorage, make: Make, options: LongOptions): Promise<void> {
  const target = await make(disk.size)
  // The first failure ends the others.
  const stop = new AbortController()
  const ignore = options.signal ? whenAborted({ signal: options.signal }, (reason) => stop.abort(reason)) : () => {}
  let failed: { readonly error: unknown } | undefined
  try {
    await copy(disk, target, stop, options.onProgress)
  } catch (error) {
    failed = { error }
  }
  ignore()
  try {
    await target.close()
  } catch (error) {
    failed ??= { error }
  }
  if (!failed) return
  await empty(storage).catch(() => {})
  throw failed.error
}

/** Copies all that the disk holds; in the end nothing is under way. */
async function copy<P>(
  disk: Qcow2,
  target: ConvertTarget<P>,
  stop: AbortController,
  onProgress: LongOptions['onProgress'],
): Promise<void> {
  const { signal } = stop
  const total = disk.size
  const begin = async ({ start, end }: Part) => {
    const bytes = await disk.read(start, end - start, { signal })
    return target.prepare(bytes, signal)
  }
  const underWay: { readonly part: Part; readonly prepared: Promise<P> }[] = []
  const storeFirst = async () => {
    const first = underWay[0]
    if (!first) return
    await target.store(first.part.start, await first.prepared, signal)
    underWay.shift()
    onProgress?.({ done: first.part.end, total })
  }
  try {
    onProgress?.({ done: 0, total })
    for await (const part of parts(disk, target.grain, signal)) {
      if (underWay.length === target.width) await storeFirst()
      const prepared = begin(part)
      // It is looked at when its turn comes.
      prepared.catch(() => {})
      underWay.push({ part, prepared })
    }
    while (underWay.length > 0) await storeFirst()
    signal.throwIfAborted()
    onProgress?.({ done: total, total })
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(underWay.map(({ prepared }) => prepared))
    throw error
  }
}

/** A part of the disk, up to `end`. */
interface Part {
  readonly start: number
  readonly end: number
}

/**
 * What the disk holds, in order, in parts of whole grains: from the first to the last byte of each stretch of `partSize`
 * that are stored anywhere.
 */
async function* parts(disk: Qcow2, grain: number, signal: AbortSignal): AsyncGenerator<Part, undefined> {
  const stretch = Math.max(partSize, grain)
  let part: Part | undefined
  for await (const { start, length, data } of disk.map({ signal })) {
    if (!data) continue
    const end = Math.min(disk.size, Math.ceil((start + length) / grain) * grain)
    for (let at = start - (start % grain); at < end; ) {
      const next = at - (at % stretch) + stretch
      const stop = Math.min(end, next)
      if (part && part.start - (part.start % stretch) === at - (at % stretch)) part = { start: part.start, end: stop }
      else {
        if (part) yield part
        part = { start: at, end: stop }
      }
      at = next
    }
  }
  if (part) yield part
}

/** Takes back what was written. */
async function empty(storage: WritableStorage): Promise<void> {
  const file = await RawFile.open(storage)
  try {
    await file.truncate(0)
  } finally {
    await file.close()
  }
}
