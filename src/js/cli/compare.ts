import { compare as compareDisks } from '../index.js'
import { Arguments, cacheMode } from './arguments.js'
import type { Command } from './command.js'
import type { SourceDisk } from './disk.js'
import { Failure, UsageError } from './failure.js'
import type { Host } from './host.js'
import { imageSpec, openImage } from './open.js'
import { ProgressLine } from './progress.js'
import { readSecrets } from './secrets.js'

/** `compare`: reports whether two disks are the same. */
export const compare: Command = {
  summary: 'Reports whether two disks have the same content.',
  usage:
    'compare [--image-opts | [-f FMT] [-F FMT]] [-s] [-T CACHE] [-p] [-q] [-U] [--object OBJDEF] FILENAME1 FILENAME2',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    progress: { short: 'p', long: 'progress' },
    format: { short: 'f', long: 'a-format', takesValue: true },
    otherFormat: { short: 'F', long: 'b-format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    strict: { short: 's', long: 'strict' },
    cache: { short: 'T', long: 'cache', takesValue: true },
    forceShare: { short: 'U', long: 'force-share' },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const [first, second] = args.operands
    if (first === undefined || second === undefined || args.operands.length > 2) {
      throw new UsageError('Expecting two image file names')
    }
    const imageOpts = args.has('imageOpts')
    const [format, otherFormat] = [args.value('format'), args.value('otherFormat')]
    if (imageOpts && (format ?? otherFormat) !== undefined) {
      throw new Failure('--image-opts and --format are mutually exclusive', 2)
    }
    try {
      cacheMode(args.value('cache') ?? 'writeback', true)
    } catch (error) {
      throw error instanceof Failure ? new Failure(error.message, 2) : error
    }
    const quiet = args.has('quiet')
    const line = new ProgressLine(host, args.has('progress') && !quiet)
    const disks: SourceDisk[] = []
    try {
      const secrets = readSecrets(host, args.all('object'))
      try {
        disks.push(await openImage(host, imageSpec(first, format, imageOpts), { secrets }))
        disks.push(await openImage(host, imageSpec(second, otherFormat, imageOpts), { secrets }))
      } catch (error) {
        throw error instanceof Failure ? new Failure(error.message, 2) : error
      }
      const say = (text: string) => quiet || host.out(text)
      return await compareOpen(disks as [SourceDisk, SourceDisk], args.has('strict'), line, say, host, [first, second])
    } finally {
      line.end()
      for (const disk of disks) await disk.close()
    }
  },
}

async function compareOpen(
  [one, other]: readonly [SourceDisk, SourceDisk],
  strict: boolean,
  line: ProgressLine,
  say: (text: string) => void,
  host: Host,
  names: readonly string[],
): Promise<number> {
  let warned = false
  const warn = () => {
    if (!warned && one.size !== other.size) say('Warning: Image size mismatch!\n')
    warned = true
  }
  try {
    const shared = Math.min(one.size, other.size)
    const onProgress = (progress: { done: number; total: number }) => {
      if (progress.done >= shared && !strict) warn()
      line.update(progress)
    }
    const result = await compareDisks(one, other, { strict, onProgress })
    if (result.equal) {
      say('Images are identical.\n')
      return 0
    }
    if (result.difference === 'size') say('Strict mode: Image size mismatch!\n')
    else if (result.difference === 'storage') say(`Strict mode: Offset ${result.offset} block status mismatch!\n`)
    else say(`Content mismatch at offset ${result.offset}!\n`)
    return 1
  } catch (error) {
    const { offset } = error as { offset?: number }
    host.err(`qemu-img: Error while reading offset ${offset ?? 0} of ${names[0]}: Input/output error\n`)
    return 4
  }
}
