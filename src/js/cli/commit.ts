import { commit as commitImage, isQcow2Error, type WritableBase } from '../index.js'
import { Arguments, cacheMode, sizeArgument } from './arguments.js'
import type { Command } from './command.js'
import { Failure } from './failure.js'
import { type Host, located } from './host.js'
import type { ImageFile } from './image-file.js'
import { filesOf, imageSpec, openFiles } from './open.js'
import { ProgressLine } from './progress.js'
import { readSecrets, systemReason } from './secrets.js'
import { relativeTo } from './spec.js'

/** `commit`: writes the data of an image into a file below it. */
export const commit: Command = {
  summary: 'Writes the changes in an image into its backing file.',
  usage:
    'commit [-f FMT | --image-opts] [-t CACHE_MODE] [-b BASE_IMG] [-d] [-r RATE] [-p] [-q] [--object OBJDEF] FILENAME',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    progress: { short: 'p', long: 'progress' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    cache: { short: 't', long: 'cache', takesValue: true },
    drop: { short: 'd', long: 'drop' },
    base: { short: 'b', long: 'base', takesValue: true },
    rate: { short: 'r', long: 'rate', takesValue: true },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const rate = args.value('rate')
    if (rate !== undefined) sizeArgument(rate, 'rate limit')
    const name = args.onlyOperand()
    const { format, imageOpts } = args.source()
    const secrets = readSecrets(host, args.all('object'))
    const cache = cacheMode(args.value('cache') ?? 'writeback')
    const spec = imageSpec(name, format, imageOpts)
    const files = await filesOf(host, spec)
    const wanted = args.value('base')
    const depth = wanted === undefined ? 1 : depthOf(host, files, wanted)
    if (depth === undefined) throw new Failure(`Did not find '${wanted}' in the backing chain of '${name}'`)
    const quiet = args.has('quiet')
    const keep = args.has('drop') || wanted !== undefined
    // The files above the base are opened without it, for it is written meanwhile.
    const overlay = await openFiles(host, spec, files.slice(0, depth), { writable: true, secrets, cache })
    const line = new ProgressLine(host, args.has('progress') && !quiet)
    try {
      const [baseFile] = files.slice(depth)
      if (!baseFile || !overlay.qcow2) throw new Failure('Image does not have a backing file')
      const base = await openFiles(host, { shown: baseFile.name }, files.slice(depth), {
        writable: true,
        secrets,
        cache,
      })
      try {
        const into = (base.qcow2 ?? base) as WritableBase
        await commitImage(overlay.qcow2, into, { keep, onProgress: line.update })
      } finally {
        await base.close()
      }
    } catch (error) {
      if (!isQcow2Error(error)) throw error
      throw new Failure(`Block job failed: ${error.cause === undefined ? error.reason : systemReason(error.cause)}`)
    } finally {
      line.end()
      await overlay.close()
    }
    if (!quiet) host.out('Image committed.\n')
    return 0
  },
}

/** How deep in the chain a file is, by its name as the user, or the file above it, has it. */
export function depthOf(host: Host, files: readonly ImageFile[], name: string): number | undefined {
  const found = files.findIndex((file, depth) => {
    const above = files[depth - 1]
    if (!above) return false
    // A name is seen from where the file above is, as in an image.
    return above.inspection?.backingFile === name || file.path === located(host, relativeTo(above.name, name))
  })
  return found < 0 ? undefined : found
}
