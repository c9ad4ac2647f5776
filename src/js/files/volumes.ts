import { callback, optionsIn, signalIn } from '../base/arguments.js'
import type { RequestOptions } from '../base/progress.js'
import { valid } from './arguments.js'
import { checkDisk, type FilesDisk } from './disk.js'
import { checkHow, type FilesOptions } from './host.js'
import { Session } from './session.js'
import type { Scan } from './values.js'
import { Volume } from './volume.js'

/** Options of {@link volumes}. */
export interface VolumesOptions extends FilesOptions, RequestOptions {
  /** Called with each thing that is wrong with the disk's layout, as a sentence for people. */
  readonly onProblem?: ((problem: string) => void) | undefined
}

/**
 * Finds the volumes of a disk: a file system on the whole disk, partitions (MBR with logical ones, GPT), and the linear and
 * striped volumes of LVM2. What is recognised but cannot be read is listed too. {@link Volume.unlock} finds those in an
 * encrypted container.
 *
 * Only the first blocks of each volume are read. Close each volume that was used.
 *
 * @param disk an image, a snapshot, or any object that reads bytes. It must stay open, and should not be written meanwhile.
 * @throws {@link FilesError} `INVALID`, `TIMEOUT`, `CRASHED`, `LOAD_FAILED`; what the disk throws; or the signal's reason.
 * @example
 * ```ts
 * import { blob, Qcow2 } from 'qcow2-web'
 * import { volumes } from 'qcow2-web/files'
 *
 * const disk = await Qcow2.open(blob(file))
 * for (const { id, title, label, size } of await volumes(disk)) console.log(id, title, label, size)
 * ```
 */
export async function volumes(disk: FilesDisk, options: VolumesOptions = {}): Promise<Volume[]> {
  const { signal, onProblem, rest } = valid(() => {
    checkDisk(disk)
    const { onProblem, signal: _, ...rest } = optionsIn(options)
    checkHow(rest)
    return { signal: signalIn(options), onProblem: callback(onProblem, 'onProblem'), rest }
  })
  const session = new Session(disk, rest, { unlocked: [] })
  try {
    const scan = await session.call<Scan>({ method: 'scan', args: [] }, signal)
    for (const problem of scan.problems) onProblem?.(problem)
    return scan.volumes.map((info) => new Volume(info, session.another({ volume: info.id, unlocked: [] })))
  } finally {
    session.close()
  }
}
