import { byteCount, flag, optionsIn, show, text } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import type { Handle } from '../engine/handle.js'
import type { BitmapInfo } from '../engine/values.js'

/** How a bitmap is made. */
export interface BitmapOptions extends RequestOptions {
  /**
   * How many bytes of the disk a bit stands for: a power of two from 512 to 2 GiB. Default: the cluster size, but at least 4 KiB and
   * at most 64 KiB.
   */
  readonly granularity?: number | undefined
  /** Follows the changes of the disk from now on. Default: true. */
  readonly enabled?: boolean | undefined
}

/** A range of the disk that a bitmap has. */
export interface BitmapExtent {
  /** Where it begins on the disk, in bytes. */
  readonly start: number
  /** Its length in bytes. */
  readonly length: number
}

/** Where {@link Bitmaps.merge} takes bits from: the bitmaps of another image, or of the same one. */
export interface BitmapSource {
  /** The ranges of the disk that a bitmap of this name has. */
  extents(name: string, options?: RequestOptions): AsyncIterable<BitmapExtent>
}

/**
 * The dirty bitmaps that an image stores: each records which parts of the disk changed since some time.
 *
 * A bitmap that is enabled follows every change that is made through this package or QEMU; it may have bits too many, never too few.
 * What changes about bitmaps is stored when the image is closed. An image that is not closed after a change, as in a crash, has
 * inconsistent bitmaps then, which can only be deleted.
 *
 * An incremental backup is a copy of what a bitmap has: read the extents, copy these ranges, and clear the bitmap.
 */
export interface Bitmaps extends BitmapSource {
  /**
   * The bitmaps, in the order of the file; `inUse` is true for those that are inconsistent.
   *
   * @throws {@link Qcow2Error} what reading leads to.
   */
  list(options?: RequestOptions): Promise<readonly BitmapInfo[]>
  /**
   * Adds a bitmap that has nothing yet.
   *
   * @param name 1 to 1023 bytes of UTF-8.
   * @throws {@link Qcow2Error} `BITMAP_EXISTS`, `BAD_BITMAP`, and what {@link Qcow2.write} rejects with.
   */
  create(name: string, options?: BitmapOptions): Promise<void>
  /**
   * Deletes a bitmap, also one that is inconsistent.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_BITMAP`, and what {@link Qcow2.write} rejects with.
   */
  delete(name: string, options?: RequestOptions): Promise<void>
  /**
   * Forgets what a bitmap has.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_BITMAP`, `BITMAP_INCONSISTENT`, and what {@link Qcow2.write} rejects with.
   */
  clear(name: string, options?: RequestOptions): Promise<void>
  /**
   * Lets a bitmap follow the changes of the disk.
   *
   * @throws {@link Qcow2Error} as {@link Bitmaps.clear}.
   */
  enable(name: string, options?: RequestOptions): Promise<void>
  /**
   * Lets a bitmap stay as it is.
   *
   * @throws {@link Qcow2Error} as {@link Bitmaps.clear}.
   */
  disable(name: string, options?: RequestOptions): Promise<void>
  /**
   * Adds to a bitmap what another one has.
   *
   * @param source the other one's name.
   * @param from the bitmaps of the image that has it. Default: this image's.
   * @throws {@link Qcow2Error} as {@link Bitmaps.clear}, for either bitmap.
   */
  merge(name: string, source: string, from?: BitmapSource, options?: RequestOptions): Promise<void>
  /**
   * The ranges of the disk, in bytes and in their order, that a bitmap has.
   *
   * @throws {@link Qcow2Error} `NO_SUCH_BITMAP`, `BITMAP_INCONSISTENT`, and what reading leads to; or the signal's reason.
   */
  extents(name: string, options?: RequestOptions): AsyncIterable<BitmapExtent>
}

/** So many ranges are handed to the engine at a time. */
const batch = 4096

/** The bitmaps of an open image. */
export function bitmaps(handle: Handle): Bitmaps {
  const named = (name: string) => text(name, 'The name')
  async function* extents(name: string, options: RequestOptions = {}) {
    named(name)
    for (let at = 0; at < handle.size || at === 0; ) {
      const [next = 0, ...numbers] = await handle.run('bitmap_extents', [name, BigInt(at)], options)
      for (let index = 0; index + 1 < numbers.length; index += 2) {
        yield { start: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 }
      }
      if (next <= at) return
      at = next
    }
  }
  const all: Bitmaps = {
    list: async (options) => (await handle.run('info', [], options)).bitmaps,
    create: async (name, options) => {
      const { granularity, enabled } = optionsIn(options)
      if (granularity === 0) throw invalidArgument('granularity must be a power of two from 512.')
      const bytes = BigInt(granularity === undefined ? 0 : byteCount(granularity, 'granularity'))
      await handle.run('create_bitmap', [named(name), bytes, flag(enabled, 'enabled', true)], options)
    },
    delete: async (name, options) => handle.run('delete_bitmap', [named(name)], options),
    clear: async (name, options) => handle.run('clear_bitmap', [named(name)], options),
    enable: async (name, options) => handle.run('enable_bitmap', [named(name), true], options),
    disable: async (name, options) => handle.run('enable_bitmap', [named(name), false], options),
    merge: async (name, source, from = all, options = {}) => {
      if (typeof from?.extents !== 'function')
        throw invalidArgument(`The source must have bitmaps; it is ${show(from)}.`)
      text(source, 'The source')
      let ranges: bigint[] = []
      const mark = () => handle.run('mark_bitmap', [named(name), BigUint64Array.from(ranges)], options)
      for await (const { start, length } of from.extents(source, options)) {
        ranges.push(BigInt(start), BigInt(start + length))
        if (ranges.length < 2 * batch) continue
        await mark()
        ranges = []
      }
      await mark()
    },
    extents,
  }
  return all
}
