import { flag, oneOf } from '../base/arguments.js'
import type { WorkerOptions } from '../engine/options/open.js'
import { type CheckOptions, described, findings, type RepairReport } from '../engine/reports.js'
import type { WritableSource } from '../storage/source.js'
import { runOnFile } from './run-on-file.js'

/** How an image is repaired. */
export interface RepairOptions extends CheckOptions, WorkerOptions {
  /**
   * With `all`: repair also what can't be repaired without giving something up. What is given up can't be read before
   * either: clusters whose place is unknown become zeros, snapshots without tables and broken bitmaps are dropped. The
   * findings of a {@link check} whose `remedy` is `loss` are what this is about; ask before it. Default: false.
   */
  readonly acceptLoss?: boolean | undefined
}

/**
 * Repairs an image, also one that can't be opened, as `qemu-img check -r` does: with `leaks` only lost space is freed, with
 * `all` also reference counts, flags and tables are mended, and the marks of a dirty or corrupt image are cleared.
 *
 * What it would do, a {@link check} says before: its findings, each with its `remedy`. A crash, a failure or an abort leaves
 * the image no worse than it was. Nobody may use the image meanwhile.
 *
 * @param source the image file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `NOT_QCOW2`, `UNSUPPORTED_…` and `CORRUPT_HEADER` where nothing can be said, `READ_ONLY`,
 * `QUOTA`, `STORAGE`, `IN_USE` and others; or the signal's reason.
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
