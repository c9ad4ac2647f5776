import { flag, optionsIn, watchIn } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Qcow2 } from '../image/qcow2.js'
import { mappedDisk } from './compare.js'

/** A disk that changes are committed into: an open image, or anything with these methods. */
export interface WritableBase extends Pick<Qcow2, 'write' | 'writeZeroes' | 'flush'> {
  /** The size in bytes. */
  readonly size: number
  /** Makes the disk larger. */
  resize(size: number): Promise<void>
}

/** How {@link commit} commits. Progress is in bytes of the disk. */
export interface CommitOptions extends LongOptions {
  /** Leaves the overlay as it is; otherwise it is emptied, once the base has everything. Default: false. */
  readonly keep?: boolean | undefined
}

/** Data is copied in segments of this many bytes. */
const pieceSize = 1024 * 1024

/**
 * Writes what an overlay holds into a file below it, which then shows the same disk by itself: `qemu-img commit`. A base that is
 * smaller grows; one that is larger keeps its size. Then the overlay is emptied, unless it is to be kept.
 *
 * It can be repeated after any interruption: the overlay is emptied only once the base is durable.
 *
 * @param overlay the overlay, open for writing unless it is kept. It is opened with the files between it and the base as its `backing`,
 * and with `null` instead of the base, which would otherwise be in use twice. Their data is committed, too.
 * @param base the base, open for writing. It stays open.
 * @throws {@link Qcow2Error} what {@link Qcow2.read} and {@link Qcow2.write} reject with; or the signal's reason.
 * @example
 * ```ts
 * // Both are open for writing, the overlay without its base.
 * const overlay = await Qcow2.open(storage, { writable: true, backing: null })
 * await commit(overlay, base)
 * ```
 */
export async function commit(overlay: Qcow2, base: WritableBase, options: CommitOptions = {}): Promise<void> {
  const keep = flag(optionsIn(options).keep, 'keep')
  const { signal, onProgress } = watchIn(options)
  mappedDisk(overlay, 'The overlay')
  const { size, write, writeZeroes, flush, resize } = (base ?? {}) as Partial<WritableBase>
  if (!Number.isSafeInteger(size) || ![write, writeZeroes, flush, resize].every((each) => typeof each === 'function')) {
    throw invalidArgument('The base must be an open image, or have its size, write, writeZeroes, flush and resize.')
  }
  if (!keep && overlay.readOnly) throw invalidArgument('An overlay that is emptied must be open for writing.')
  const total = overlay.size
  onProgress?.({ done: 0, total })
  if (base.size < total) await base.resize(total)
  for await (const { start, length, present, zero } of overlay.map({ signal })) {
    if (present && zero) await base.writeZeroes(start, length, { unmap: true, signal })
    else if (present) {
      for (let at = start; at < start + length; at += pieceSize) {
        const bytes = await overlay.read(at, Math.min(pieceSize, start + length - at), { signal })
        await base.write(at, bytes, { signal })
      }
    }
    onProgress?.({ done: start + length, total })
  }
  await base.flush({ signal })
  if (!keep) await overlay.empty({ signal })
  onProgress?.({ done: total, total })
}
