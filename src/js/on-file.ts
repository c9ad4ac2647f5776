import type { FileOperations } from './handle.js'
import type { WorkerOptions } from './options.js'
import { onFileHere } from './standalone.js'
import type { Use } from './storage/claims.js'
import type { Storage } from './storage/types.js'
import type { LongOptions } from './watch.js'
import { onFileThere } from './worker/opening.js'

/** Runs an operation on a file that no image is opened for; the file is opened for it, and closed again. */
export function onFile<M extends keyof FileOperations>(
  storage: Storage,
  use: Use,
  method: M,
  args: Parameters<FileOperations[M]>,
  options: LongOptions & WorkerOptions,
): Promise<ReturnType<FileOperations[M]>> {
  const { worker, ...watch } = options
  if (worker) return onFileThere(storage, use, method, args, watch, worker)
  return onFileHere(storage, use, method, args, watch)
}
