import { flag, oneOf } from '../base/arguments.js'
import type { WorkerOptions } from '../engine/options/open.js'
import { type CheckOptions, described, findings, type RepairReport } from '../engine/reports.js'
import type { WritableSource } from '../storage/source.js'
import { runOnFile } from './run-on-file.js'

/** How an image is repaired. */
export interface RepairOptions extends CheckOptions, WorkerOptions {
  /**
   * With `all`: also repairs what can only be repaired with a loss. What is lost cannot be read before the repair either: clusters
   * whose host offset is unknown become zeros, and snapshots without tables and corrupt bitmaps are deleted. These are the findings
   * of a {@link check} whose `remedy` is `loss`: ask the user before. Default: false.
   */
  readonly acceptLoss?: boolean | undefined
}

/**
 * Repairs an image, also one that can't be opened, as `qemu-img check -r` does: `leaks` only frees
 * clusters that nothing uses; `all` also repairs refcounts, flags and tables, and clears the marks of a dirty or corrupt image.
 *
 * A {@link check} reports beforehand what it would do: its findings, each with its `remedy`. A crash, a failure or an abort leaves
 * the image no worse than it was. Nothing else may use the image during the call.
 *
 * @param source the image file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…` and `CORRUPT_HEADER` where nothing can be said, `READ_ONLY`,
 * `QUOTA`, `STORAGE`, `IN_USE` and others; or the signal's reason.
 *
 * @example
 * ```ts
 * const { after } = await repair(storage, 'all')
 * console.log(after.verdict)
 * ```
 */
export async function repair(
  source: WritableSource,
  what: 'leaks' | 'all',
  options: RepairOptions = {},
): Promise<RepairReport> {
  const all = oneOf(what, ['leaks', 'all'], 'What to repair') === 'all'
  const [limit, acceptLoss] = [findings(options), flag(options.acceptLoss, 'acceptLoss')]
  const { before, after } = await runOnFile(source, 'write', 'repair', [all, acceptLoss, limit], options)
  return { before: described(before), after: described(after) }
}
