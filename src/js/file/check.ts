import type { WorkerOptions } from '../engine/options/open.js'
import { type CheckOptions, type CheckReport, described, findings } from '../engine/reports.js'
import type { Source } from '../storage/source.js'
import { runOnFile } from './run-on-file.js'

/**
 * Checks an image as `qemu-img check` does, also one that can't be opened: whether its refcounts, flags and tables
 * agree. Nothing is written. Backing files and data files are not needed.
 *
 * Memory stays bounded, however large the image is. Nothing else may write to the image during the call. For an open image, use
 * {@link Qcow2.check}.
 *
 * @param source the image file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…` and `CORRUPT_HEADER` where nothing can be said, `STORAGE` and
 * others; or the signal's reason.
 *
 * @example
 * ```ts
 * const { verdict, findings } = await check(storage)
 * if (verdict !== 'clean') for (const { message } of findings) console.log(message)
 * ```
 */
export async function check(source: Source, options: CheckOptions & WorkerOptions = {}): Promise<CheckReport> {
  const limit = findings(options)
  return described(await runOnFile(source, 'read', 'check', [limit], options))
}
