import { sentence } from '../base/errors.js'
import type { RequestOptions } from '../base/progress.js'
import type { WorkerOptions } from '../engine/options/open.js'
import type { Inspection } from '../engine/values.js'
import type { Source } from '../storage/source.js'
import { runOnFile } from './run-on-file.js'

/**
 * Reports as much as possible about a file, also about one that cannot be opened: its probable format, its header and
 * its extensions, and what is wrong with it, where.
 *
 * @param source the file; it is opened for this, and closed again.
 * @throws {@link Qcow2Error} `STORAGE` and others, if the file can't be read; or the signal's reason.
 *
 * @example
 * ```ts
 * const { problems } = await inspect(memory(new Uint8Array(1024)))
 * console.log(problems) // What keeps it from being opened.
 * ```
 */
export async function inspect(source: Source, options: RequestOptions & WorkerOptions = {}): Promise<Inspection> {
  const found = await runOnFile(source, 'read', 'inspect', [], options)
  const problems = found.problems.map((problem) => ({ ...problem, message: sentence(problem.message) }))
  return { ...found, problems }
}
