import { type AmendOptions, hostAmendOptions } from '../engine/options/amend.js'
import type { WritableSource } from '../storage/source.js'
import { runOnFile } from './run-on-file.js'

/**
 * Changes an image's options in place, as `qemu-img amend` and `qemu-img rebase -u` do. A crash, a failure or an abort
 * leaves the image either as it was or as asked for. Nothing else may use the image during the call.
 *
 * @param source the image file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `BAD_OPTIONS`, `REFCOUNT_OVERFLOW`, `MARKED_CORRUPT`, `NEEDS_REPAIR`, `UNNEEDED_DATA_FILE`,
 * `READ_ONLY`, `QUOTA`, `STORAGE`, `IN_USE` and others; or the signal's reason.
 *
 * @example
 * ```ts
 * const storage = memory()
 * await (await Qcow2.create(storage, { size: 1024 ** 2 })).close()
 * await amend(storage, { lazyRefcounts: true })
 * ```
 */
export async function amend(source: WritableSource, options: AmendOptions): Promise<void> {
  const what = hostAmendOptions(options)
  await runOnFile(source, 'write', 'amend', [what], options)
}
