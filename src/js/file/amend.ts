import { oneOf, small, text } from '../base/arguments.js'
import type { RequestOptions, WorkerOptions } from '../engine/options/open.js'
import type { WritableStorage } from '../storage/contract.js'
import { runOnFile } from './run-on-file.js'

/** What {@link amend} changes; what is absent stays as it is. */
export interface AmendOptions extends RequestOptions, WorkerOptions {
  /**
   * The version of the format. Version 2 has no zero clusters: where there is a backing file, each becomes a cluster of
   * zeros. An image that uses what only version 3 has is refused; bitmaps are dropped.
   */
  readonly version?: 2 | 3 | undefined
  /** Whether programs may write reference counts late, and mark the image as dirty meanwhile. */
  readonly lazyRefcounts?: boolean | undefined
  /** The width of a reference count in bits: a power of two up to 64. Where a count doesn't fit, nothing is changed. */
  readonly refcountBits?: number | undefined
  /** The backing file to record, of which nothing is read; `null`: none, so that what isn't allocated reads as zeros. */
  readonly backing?: AmendBacking | null | undefined
  /** The name of the external data file to record, in an image that has one. */
  readonly dataFileName?: string | undefined
}

/** A backing file to record. */
export interface AmendBacking {
  /** Its name, which QEMU follows from the folder that the image is in. */
  readonly name: string
  /** Its format. */
  readonly format: 'qcow2' | 'raw'
}

/**
 * Changes an image's options in place, as `qemu-img amend` and `qemu-img rebase -u` do. A crash, a failure or an abort
 * leaves the image as it was, or as it should be. Nobody may use the image meanwhile.
 *
 * @param storage the image file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `BAD_OPTIONS`, `REFCOUNT_OVERFLOW`, `MARKED_CORRUPT`, `NEEDS_REPAIR`, `UNNEEDED_DATA_FILE`,
 * `READ_ONLY`, `QUOTA`, `STORAGE`, `IN_USE` and others; or the signal's reason.
 */
export async function amend(storage: WritableStorage, options: AmendOptions): Promise<void> {
  const what = hostAmendOptions(options)
  await runOnFile(storage, 'write', 'amend', [what], options)
}

/** What is to be changed, as `src/bridge/host.rs` takes it. */
export interface HostAmendOptions {
  readonly version: number | undefined
  readonly lazyRefcounts: boolean | undefined
  readonly refcountBits: number | undefined
  readonly backingName: string | undefined
  readonly backingIsRaw: boolean
  readonly withoutBacking: boolean
  readonly dataFileName: string | undefined
}

function hostAmendOptions({
  version,
  lazyRefcounts,
  refcountBits,
  backing,
  dataFileName,
}: AmendOptions): HostAmendOptions {
  return {
    version: version === undefined ? undefined : small(version, 'version'),
    lazyRefcounts,
    refcountBits: refcountBits === undefined ? undefined : small(refcountBits, 'refcountBits'),
    backingName: backing ? text(backing.name, 'backing.name') : undefined,
    backingIsRaw: backing ? oneOf(backing.format, ['qcow2', 'raw'], 'backing.format') === 'raw' : false,
    withoutBacking: backing === null,
    dataFileName: dataFileName === undefined ? undefined : text(dataFileName, 'dataFileName'),
  }
}
