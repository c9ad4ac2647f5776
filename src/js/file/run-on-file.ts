import { watchIn } from '../base/arguments.js'
import type { LongOptions } from '../base/progress.js'
import type { Use } from '../base/storage/claims.js'
import type { FileOperations } from '../engine/handle.js'
import type { WorkerOptions } from '../engine/options/open.js'
import { workerIn } from '../engine/options/open.js'
import { runOnFileHere } from '../engine/run-on-file.js'
import { type Source, storageOf } from '../storage/source.js'
import { runOnFileInWorker } from '../worker/open.js'

/** Runs an operation on a file that no image is opened for; the file is opened for it, and closed again. */
export function runOnFile<M extends keyof FileOperations>(
  source: Source,
  use: Use,
  method: M,
  args: Parameters<FileOperations[M]>,
  options: LongOptions & WorkerOptions,
): Promise<ReturnType<FileOperations[M]>> {
  const worker = workerIn(options)
  const watch = watchIn(options)
  const storage = storageOf(source, 'The file')
  if (worker) return runOnFileInWorker(storage, use, method, args, watch, worker)
  return runOnFileHere(storage, use, method, args, watch)
}
