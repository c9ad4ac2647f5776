import { integer, optionsIn } from '../base/arguments.js'
import { sentence } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'

/** How an image is checked. */
export interface CheckOptions extends LongOptions {
  /** How many findings are listed; all are counted. Default: 1000. */
  readonly maxFindings?: number | undefined
}

/** What a check came to: the numbers of `qemu-img check`, and the findings. */
export interface CheckReport {
  /**
   * In a word: nothing was found; space is lost, nothing else; something is corrupt; or not everything could be checked, so
   * that the numbers may be too low.
   */
  readonly verdict: 'clean' | 'leaks' | 'corrupt' | 'incomplete'
  /** How many clusters are lost space. */
  readonly leaks: number
  /** How much is wrong otherwise. */
  readonly corruptions: number
  /** How much could not be checked. */
  readonly checkErrors: number
  /** How many clusters the disk has. */
  readonly totalClusters: number
  /** How many of them are allocated. */
  readonly allocatedClusters: number
  /** How many of those don't follow the one before in the file; compressed ones never do. */
  readonly fragmentedClusters: number
  /** How many of the allocated ones are compressed. */
  readonly compressedClusters: number
  /** Where the last cluster ends that is in use, in bytes of the file; 0 where it wasn't found out. */
  readonly imageEndOffset: number
  /** What was found, as much of it as was asked for. */
  readonly findings: readonly Finding[]
  /** How many findings are not listed. */
  readonly unlisted: number
  /** How many findings can be repaired only with a loss. */
  readonly lossy: number
  /** The image was not closed properly. */
  readonly dirty: boolean
  /** The image is marked as corrupt. */
  readonly markedCorrupt: boolean
}

/** Something that a check found. */
export interface Finding {
  /** What kind of thing it is, as a word that stays the same: `LEAKED`, `COUNT_TOO_LOW`, `L2_COPIED` and others. */
  readonly code: string
  /** Lost space; something wrong; or something that could not be checked. */
  readonly severity: 'leak' | 'corruption' | 'error'
  /** What its repair takes: nothing but freeing; no loss of what can be read; or giving something up. */
  readonly remedy: 'free' | 'lossless' | 'loss'
  /** Where in the image file: the entry or the table at fault, or the cluster whose count it is. */
  readonly offset: number
  /** What it is, as a sentence. */
  readonly message: string
}

/** What a repair came to. */
export interface RepairReport {
  /** What a check found before. */
  readonly before: CheckReport
  /** What a check finds now. */
  readonly after: CheckReport
}

/** How many findings to list. */
export function findings(options: CheckOptions): number {
  const { maxFindings = 1000 } = optionsIn(options)
  return Math.min(integer(maxFindings, 'maxFindings'), 0xffff_ffff)
}

/** The report, with sentences for people. */
export function described(report: CheckReport): CheckReport {
  return { ...report, findings: report.findings.map((each) => ({ ...each, message: sentence(each.message) })) }
}
