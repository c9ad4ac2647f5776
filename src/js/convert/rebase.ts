import { flag, integer, optionsIn, watchIn } from '../base/arguments.js'
import { firstDifferentSector, isZero } from '../base/bytes.js'
import type { LongOptions } from '../base/progress.js'
import type { Extent } from '../disk/extent.js'
import type { Qcow2 } from '../image/qcow2.js'
import type { MappedDisk } from './compare.js'
import { mappedDisk } from './compare.js'

/** How {@link rebase} copies. Progress is in bytes of the disk. */
export interface RebaseOptions extends LongOptions {
  /** Compresses the clusters that are copied. Default: false. */
  readonly compress?: boolean | undefined
  /**
   * Which file of the old chain the new backing file is, if it is one of them: 1 is the old backing file itself. What comes from
   * there need not be compared.
   */
  readonly sharedDepth?: number | undefined
  /** The size of the old backing file's disk; zeros past its end take no room. Default: that of the image. */
  readonly oldSize?: number | undefined
}

/** The map is read in segments of this many bytes, for copying changes it. */
const stretch = 64 * 1024 * 1024
/** So much is compared at a time. */
const pieceSize = 2 * 1024 * 1024

/**
 * Prepares an image for another backing file: wherever the image shows its old backing file, and the new one has other bytes, these
 * are copied into the image. Afterwards it shows the same disk over the new backing file; record that with {@link amend}.
 *
 * It can be repeated after any interruption: what was copied shows over either backing file.
 *
 * @param image the image, open for writing with its old backing file. It stays open.
 * @param backing what the new backing file shows; `null` for none, so that the image becomes independent.
 * @throws {@link Qcow2Error} what {@link Qcow2.read} and {@link Qcow2.write} reject with; or the signal's reason.
 * @example
 * ```ts
 * await rebase(image, base)
 * await image.close()
 * await amend(storage, { backing: { name: 'base.qcow2', format: 'qcow2' } })
 * ```
 */
export async function rebase(image: Qcow2, backing: MappedDisk | null, options: RebaseOptions = {}): Promise<void> {
  const { signal, onProgress } = watchIn(options)
  const { sharedDepth = Number.POSITIVE_INFINITY, oldSize = 0, compress } = optionsIn(options)
  if (sharedDepth !== Number.POSITIVE_INFINITY) integer(sharedDepth, 'sharedDepth')
  integer(oldSize, 'oldSize')
  flag(compress, 'compress')
  mappedDisk(image, 'The image')
  if (backing !== null) mappedDisk(backing, 'The backing file')
  const total = image.size
  const { clusterSize } = await image.info({ signal })
  const copy = new Copy(image, backing, clusterSize, options)
  onProgress?.({ done: 0, total })
  for (let from = 0; from < total; from += stretch) {
    const length = Math.min(stretch, total - from)
    const extents: Extent[] = []
    for await (const extent of image.map({ offset: from, length, signal })) extents.push(extent)
    for (const { start, length, depth, present } of extents) {
      const isOwn = present && depth === 0
      if (!isOwn && !(present && depth >= sharedDepth)) await copy.differences(start, start + length)
      onProgress?.({ done: start + length, total })
    }
  }
  await image.flush({ signal })
  onProgress?.({ done: total, total })
}

/** Copies what the new backing file lacks. */
class Copy {
  readonly #oldSize: number
  /** Up to where whole clusters were looked at; a cluster may have several extents. */
  #done = 0

  constructor(
    private readonly image: Qcow2,
    private readonly backing: MappedDisk | null,
    private readonly clusterSize: number,
    private readonly options: RebaseOptions,
  ) {
    this.#oldSize = options.oldSize ?? image.size
  }

  /** Compares a range, cluster by cluster, and copies the clusters that differ. */
  async differences(start: number, end: number): Promise<void> {
    const { image, clusterSize } = this
    for (let at = Math.max(start - (start % clusterSize), this.#done); at < end; ) {
      const next = Math.min(image.size, at + pieceSize - (at % pieceSize))
      const [old, fresh] = await Promise.all([this.#old(at, next - at), this.#new(at, next - at)])
      if (firstDifferentSector(old, fresh) < old.length) {
        for (let offset = 0; offset < old.length && at + offset < end; offset += clusterSize) {
          const range = [offset, Math.min(old.length, offset + clusterSize)] as const
          const [one, other] = [old.subarray(...range), fresh.subarray(...range)]
          if (firstDifferentSector(one, other) < one.length) await this.#store(at + offset, one)
        }
      }
      at = next
    }
    this.#done = Math.max(this.#done, Math.min(image.size, Math.ceil(end / clusterSize) * clusterSize))
  }

  async #store(at: number, bytes: Uint8Array): Promise<void> {
    const { signal, compress = false } = this.options
    if (at >= this.#oldSize && isZero(bytes)) await this.image.writeZeroes(at, bytes.length, { signal })
    else if (compress) await this.image.writeCompressed(at, bytes, { signal })
    else await this.image.write(at, bytes, { signal })
  }

  #old(at: number, length: number): Promise<Uint8Array> {
    return this.image.read(at, length, { signal: this.options.signal })
  }

  /** What the new backing file shows; past its end it reads as zeros. */
  async #new(at: number, length: number): Promise<Uint8Array> {
    const { backing } = this
    const bytes = new Uint8Array(length)
    const count = backing ? Math.min(length, backing.size - at) : 0
    if (backing && count > 0) bytes.set(await backing.read(at, count, { signal: this.options.signal }))
    return bytes
  }
}
