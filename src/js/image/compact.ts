import type { LongOptions, RequestOptions } from '../base/progress.js'

/** How {@link compact} works. */
export interface CompactOptions extends LongOptions {
  /** Reads the disk before, and frees clusters that hold only zeros. Default: false. */
  readonly detectZeroes?: boolean | undefined
}

/** An image whose file can become smaller: {@link Qcow2}. */
export interface Compactable {
  /** See {@link Qcow2.compact}. */
  compact(options?: CompactOptions): Promise<void>
  /** See {@link Qcow2.reclaimable}. */
  reclaimable(options?: RequestOptions): Promise<number>
}

/**
 * Makes the file of an image smaller in place: {@link Qcow2.compact} as a function, like {@link commit} and {@link rebase}.
 *
 * @throws what {@link Qcow2.compact} rejects with.
 *
 * @example
 * ```ts
 * if ((await reclaimable(image)) > 64 * 1024 * 1024) await compact(image, { detectZeroes: true })
 * ```
 */
export async function compact(image: Compactable, options: CompactOptions = {}): Promise<void> {
  await image.compact(options)
}

/**
 * Returns by how many bytes {@link compact} makes the file of an image smaller, at most.
 *
 * @throws what {@link Qcow2.reclaimable} rejects with.
 *
 * @example
 * ```ts
 * console.log(`${await reclaimable(image)} bytes can be reclaimed.`)
 * ```
 */
export async function reclaimable(image: Compactable, options: RequestOptions = {}): Promise<number> {
  return await image.reclaimable(options)
}
