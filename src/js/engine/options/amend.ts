import { flag, oneOf, optionsIn, small, text } from '../../base/arguments.js'
import type { RequestOptions } from '../../base/progress.js'
import type { CreateBacking, CreateDataFile } from './create.js'
import type { WorkerOptions } from './open.js'

/** What {@link amend} changes; what is absent stays as it is. */
export interface AmendOptions extends RequestOptions, WorkerOptions {
  /**
   * The version of the format. Version 2 has no zero clusters: where there is a backing file, each becomes a cluster of
   * zeros. An image that uses what only version 3 has is refused; bitmaps are dropped.
   */
  readonly version?: 2 | 3 | undefined
  /** Lets programs write refcounts late: the image is marked as dirty until they have. */
  readonly lazyRefcounts?: boolean | undefined
  /** The width of a refcount in bits: a power of two up to 64. If a refcount does not fit, nothing changes. */
  readonly refcountBits?: number | undefined
  /**
   * The backing file to record, as {@link CreateOptions.backing}; it is not opened. `null` records none: clusters that are not
   * allocated then read as zeros.
   */
  readonly backing?: CreateBacking | null | undefined
  /**
   * The external data file to record, in an image that has one. As {@link CreateOptions.dataFile}, but only `name` and
   * `raw` count. `raw: false` records that other programs may no longer take the file for the raw disk; `true` is refused unless it is so
   * already. Default: each stays.
   */
  readonly dataFile?: Partial<CreateDataFile> | undefined
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
  readonly dataFileRaw: boolean | undefined
}

/** Checks what kind each option is of; what goes together, the engine knows. */
export function hostAmendOptions(options: AmendOptions): HostAmendOptions {
  const { version, lazyRefcounts, refcountBits, backing, dataFile } = optionsIn(options)
  if (backing !== null) optionsIn(backing, 'backing')
  optionsIn(dataFile, 'dataFile')
  return {
    version: version === undefined ? undefined : small(version, 'version'),
    lazyRefcounts: lazyRefcounts === undefined ? undefined : flag(lazyRefcounts, 'lazyRefcounts'),
    refcountBits: refcountBits === undefined ? undefined : small(refcountBits, 'refcountBits'),
    backingName: backing ? text(backing.name, 'backing.name') : undefined,
    backingIsRaw: backing ? oneOf(backing.format, ['qcow2', 'raw'], 'backing.format') === 'raw' : false,
    withoutBacking: backing === null,
    dataFileName: dataFile?.name === undefined ? undefined : text(dataFile.name, 'dataFile.name'),
    dataFileRaw: dataFile?.raw === undefined ? undefined : flag(dataFile.raw, 'dataFile.raw'),
  }
}
