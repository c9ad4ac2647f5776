import { amend, type CreateBacking, isQcow2Error, nodeFile, rebase as rebaseImage } from '../index.js'
import { Arguments, cacheMode } from './arguments.js'
import type { Command } from './command.js'
import { depthOf } from './commit.js'
import type { SourceDisk } from './disk.js'
import { Failure, UsageError } from './failure.js'
import type { Host } from './host.js'
import type { ImageFile } from './image-file.js'
import { filesOf, imageSpec, openFiles, openImage } from './open.js'
import { ProgressLine } from './progress.js'
import { readSecrets, type Secrets } from './secrets.js'
import { type ImageSpec, namedImage, relativeTo } from './spec.js'

/** `rebase`: puts an image over another backing file. */
export const rebase: Command = {
  summary: 'Puts an image over another backing file, or over none.',
  usage:
    'rebase [-f FMT | --image-opts] [-t CACHE] [-b BACKING_FILENAME [-F BACKING_FMT] [-T BACKING_CACHE]] [-u] [-c] [-p] [-q] [-U] ' +
    '[--object OBJDEF] FILENAME',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    progress: { short: 'p', long: 'progress' },
    forceShare: { short: 'U', long: 'force-share' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    cache: { short: 't', long: 'cache', takesValue: true },
    compress: { short: 'c', long: 'compress' },
    backing: { short: 'b', long: 'backing', takesValue: true },
    backingFormat: { short: 'F', long: 'backing-format', takesValue: true },
    backingCache: { short: 'T', long: 'backing-cache', takesValue: true },
    unsafe: { short: 'u', long: 'backing-unsafe' },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const name = args.onlyOperand()
    const unsafe = args.has('unsafe')
    const backing = args.value('backing')
    if (!unsafe && backing === undefined) {
      throw new UsageError('Must specify backing file (-b) or use unsafe mode (-u)')
    }
    const { format, imageOpts } = args.source()
    const line = new ProgressLine(host, args.has('progress') && !args.has('quiet'))
    try {
      const secrets = readSecrets(host, args.all('object'))
      const cache = cacheMode(args.value('cache') ?? 'writeback')
      cacheMode(args.value('backingCache') ?? 'writeback', true)
      const spec = imageSpec(name, format, imageOpts)
      const files = await filesOf(host, spec, { noBacking: unsafe })
      const opening = { writable: true, secrets, cache, noBacking: unsafe, noData: unsafe } as const
      const image = await openFiles(host, spec, files, opening)
      const backingFormat = args.value('backingFormat')
      try {
        if (backingFormat !== undefined && backingFormat !== 'qcow2' && backingFormat !== 'raw') {
          throw new Failure(`Invalid format name: '${backingFormat}'`)
        }
        if (!unsafe) {
          const to = { name: backing ?? '', format: backingFormat, compress: args.has('compress') }
          await copyDifferences(host, image, files, to, secrets, line)
        }
      } finally {
        await image.close()
      }
      const [file] = files
      if (file) await record(file, backing, backingFormat)
      line.to(100)
      return 0
    } finally {
      line.end()
    }
  },
}

/** The new backing file. */
interface NewBacking {
  /** Its name as the image will record it; empty for none. */
  readonly name: string
  readonly format: string | undefined
  readonly compress: boolean
}

async function copyDifferences(
  host: Host,
  image: SourceDisk,
  files: readonly ImageFile[],
  to: NewBacking,
  secrets: Secrets,
  line: ProgressLine,
): Promise<void> {
  const [top] = files
  let disk: SourceDisk | undefined
  if (to.name !== '') {
    const spec: ImageSpec = namedImage(relativeTo(top?.name ?? '', to.name), to.format)
    try {
      disk = await openImage(host, spec, { secrets })
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const reason = error.message.slice(`Could not open '${spec.shown}': `.length)
      throw new Failure(`Could not open new backing file '${to.name}': ${reason}`)
    }
  }
  try {
    const { qcow2 } = image
    if (!qcow2) return
    await rebaseImage(qcow2, disk ?? null, {
      compress: to.compress,
      sharedDepth: disk ? depthOf(host, files, to.name) : undefined,
      oldSize: await sizeOf(host, files, secrets),
      onProgress: line.update,
    })
  } catch (error) {
    throw isQcow2Error(error) ? new Failure(`error while rebasing: ${error.reason}`) : error
  } finally {
    await disk?.close()
  }
}

/** The size of the old backing file's disk. */
async function sizeOf(host: Host, files: readonly ImageFile[], secrets: Secrets): Promise<number> {
  const [, old] = files
  if (!old) return 0
  const disk = await openFiles(host, { shown: old.name }, [old], { secrets, noBacking: true, noData: true })
  const { size } = disk
  await disk.close()
  return size
}

async function record(file: ImageFile, name: string | undefined, format: string | undefined): Promise<void> {
  const failed = (reason: string) => new Failure(`Could not change the backing file to '${name}': ${reason}`)
  if (name && format !== 'qcow2' && format !== 'raw') throw failed('backing format must be specified')
  if (file.format === 'raw') throw failed('Operation not supported')
  try {
    const known = format === 'qcow2' || format === 'raw' ? format : undefined
    const backing: CreateBacking | null = name && known ? { name, format: known } : null
    await amend(nodeFile(file.path, { sync: true }), { backing })
  } catch (error) {
    if (!isQcow2Error(error)) throw error
    throw failed(
      /raw/.test(error.reason)
        ? 'Invalid argument'
        : error.code === 'BAD_OPTIONS'
          ? 'No space left in the file header'
          : error.reason.replace(/\.$/, ''),
    )
  }
}
