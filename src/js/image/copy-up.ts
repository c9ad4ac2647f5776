import { follow } from '../base/abort.js'
import { integer, watchIn } from '../base/arguments.js'
import { Qcow2Error } from '../base/errors.js'
import type { LongOptions } from '../base/progress.js'
import type { Extent } from '../disk/extent.js'

/** How {@link Qcow2.copyUp} copies. */
export interface CopyUpOptions extends LongOptions {
  /** How many steps, of at most 1 MiB each, are under way at one time. Default: 4. */
  readonly requests?: number | undefined
}

/** The image whose backing file is copied. */
interface Source {
  /** The runs of the disk, by a new walk. */
  map(options: { readonly signal: AbortSignal }): AsyncIterable<Extent>
  /** Copies a part of the disk; other requests go on meanwhile. */
  copy(step: Step, signal: AbortSignal): Promise<void>
}

/** A part of the disk. */
interface Step {
  readonly start: number
  readonly length: number
}

const pieceSize = 1024 * 1024
/** So many steps are under way at most, whatever is asked for: each takes memory. */
const mostRequests = 64

/** Copies all that the backing file shows. */
export async function copyUp(source: Source, options: CopyUpOptions): Promise<void> {
  const { signal, onProgress } = watchIn(options)
  const most = Math.min(integer(options.requests ?? 4, 'requests', 1), mostRequests)
  // The first failure ends the others.
  const stop = new AbortController()
  const ignore = follow(stop, signal)
  try {
    await copyAll(source, most, stop, onProgress)
  } finally {
    ignore()
  }
}

async function copyAll(
  source: Source,
  most: number,
  stop: AbortController,
  onProgress: LongOptions['onProgress'],
): Promise<void> {
  let total = 0
  for await (const { length } of steps(source, stop.signal)) total += length
  let done = 0
  onProgress?.({ done, total })
  const left = steps(source, stop.signal)
  const copy = async () => {
    for await (const step of left) {
      await source.copy(step, stop.signal)
      done += step.length
      // Others write, and what they write is not counted.
      onProgress?.({ done: Math.min(done, total), total })
    }
  }
  const copying = Array.from({ length: most }, async () => {
    try {
      await copy()
    } catch (error) {
      stop.abort(error)
      throw error
    }
  })
  // Nothing is under way when this is over.
  const failed = (await Promise.allSettled(copying)).find((each) => each.status === 'rejected')
  if (failed) throw stop.signal.reason
}

/** The ranges of the disk that come from backing files, in order. */
async function* steps(source: Source, signal: AbortSignal): AsyncGenerator<Step, undefined> {
  for await (const { start, length, depth, data } of source.map({ signal })) {
    if (depth === 0 || !data) continue
    const end = start + length
    for (let at = start; at < end; ) {
      // Up to a multiple, so that steps are of whole clusters.
      const next = Math.min(end, at - (at % pieceSize) + pieceSize)
      yield { start: at, length: next - at }
      at = next
    }
  }
}

/** The error if it is unknown whether snapshots need the backing file. */
export function neededBySnapshots(): Qcow2Error {
  return new Qcow2Error('BACKING_NEEDED', 'Snapshots may need the backing file; delete them first.')
}
