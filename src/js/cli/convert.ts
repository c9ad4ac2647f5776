import { appendFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import {
  type BitmapInfo,
  convert as convertDisk,
  type Extent,
  inspect,
  isQcow2Error,
  type MapOptions,
  type MappedDisk,
  nodeFile,
  type Qcow2,
} from '../index.js'
import { Arguments, type Caching, cacheMode, sizeArgument } from './arguments.js'
import type { Command } from './command.js'
import { createImage, creationHelp } from './create.js'
import type { SourceDisk } from './disk.js'
import { Failure } from './failure.js'
import { creationOptions, formatOptions, readOptions, type Values } from './format-options.js'
import { type Host, located } from './host.js'
import { asksForHelp } from './keyval.js'
import { imageSpec, openImage, writableFile } from './open.js'
import { ProgressLine } from './progress.js'
import { readSecrets, type Secrets } from './secrets.js'
import { snapshotId } from './snapshot-parameter.js'
import { namedImage, relativeTo } from './spec.js'

/** `convert`: copies one disk, or several in a row, into a new image. */
export const convert: Command = {
  summary: 'Copies a disk into a new image.',
  usage:
    'convert [-f SRC_FMT|--image-opts] [-O TGT_FMT] [-o TGT_OPTS] [-c] [-B BACKING [-F BACKING_FMT]] [-l SNAPSHOT_PARAM] [-n] ' +
    '[-S SPARSE_SIZE] [--target-is-zero] [--salvage] [--bitmaps] [-p] [-q] [-U] [--object OBJDEF] FILENAME [FILENAME2 ...] OUTPUT',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    progress: { short: 'p', long: 'progress' },
    format: { short: 'f', long: 'source-format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    sourceImageOpts: { long: 'source-image-opts' },
    snapshot: { short: 'l', long: 'source-snapshot', aliases: ['snapshot'], takesValue: true },
    sourceCache: { short: 'T', long: 'source-cache', takesValue: true },
    target: { short: 'O', long: 'target-format', aliases: ['output-format'], takesValue: true },
    targetImageOpts: { long: 'target-image-opts' },
    options: { short: 'o', long: 'target-options', aliases: ['options'], takesValue: true },
    compress: { short: 'c', long: 'compress' },
    targetCache: { short: 't', long: 'target-cache', aliases: ['output-cache'], takesValue: true },
    backing: { short: 'B', long: 'backing', takesValue: true },
    backingFormat: { short: 'F', long: 'backing-format', takesValue: true },
    noCreate: { short: 'n', long: 'no-create' },
    targetIsZero: { long: 'target-is-zero' },
    sparse: { short: 'S', long: 'sparse-size', takesValue: true },
    bitmaps: { long: 'bitmaps' },
    skipBroken: { long: 'skip-broken-bitmaps' },
    forceShare: { short: 'U', long: 'force-share' },
    rate: { short: 'r', long: 'rate', takesValue: true },
    parallel: { short: 'm', long: 'parallel', takesValue: true },
    outOfOrder: { short: 'W', long: 'oob-writes' },
    offload: { short: 'C', long: 'copy-range-offloading' },
    salvage: { long: 'salvage' },
    object: { long: 'object', takesValue: true },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const target = args.value('target') ?? 'raw'
    if (args.optionLists().some(asksForHelp)) {
      host.out(creationHelp(target, args.operands.length > 1))
      return 0
    }
    const wanted = check(args)
    const secrets = readSecrets(host, args.all('object'))
    const quiet = args.has('quiet')
    const line = new ProgressLine(host, args.has('progress') && !quiet)
    const sources: SourceDisk[] = []
    try {
      const snapshot = args.value('snapshot')
      for (const name of wanted.sources) {
        const spec = imageSpec(name, args.value('format'), args.has('imageOpts') || args.has('sourceImageOpts'))
        const chosen = snapshot === undefined ? {} : { snapshot: snapshotId(snapshot) }
        sources.push(await openImage(host, spec, { secrets, ...chosen }))
      }
      await copyAll(host, args, { ...wanted, target, sources, secrets, line, quiet })
      return 0
    } finally {
      line.end()
      for (const each of sources) await each.close()
    }
  },
}

interface Names {
  readonly output: string
  readonly sparseSize: number
  readonly cache: Caching
}

/** Checks what goes together, before anything is opened. */
function check(args: Arguments): Names & { readonly sources: readonly string[] } {
  const skip = args.has('noCreate')
  const rate = args.value('rate')
  if (rate !== undefined) sizeArgument(rate, 'rate limit')
  const sparse = args.value('sparse')
  let sparseSize = 4096
  if (sparse !== undefined) {
    sparseSize = Number(sizeArgument(sparse, 'buffer size for sparse output'))
    if (sparseSize % 512 !== 0 || sparseSize > 16 * 2 ** 20) {
      throw new Failure(
        'Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to 16777216. ' +
          'Select 0 to disable sparse detection (fully allocates output).',
      )
    }
  }
  const parallel = args.value('parallel')
  if (parallel !== undefined) {
    if (!/^\s*[+-]?\d+$/.test(parallel)) throw new Failure(`Invalid number of coroutines specified: '${parallel}'.`)
    const count = Number(parallel)
    if (count < 1 || count > 16) {
      throw new Failure('Invalid number of coroutines specified. Must be between 1 and 16.')
    }
  }
  if (args.has('imageOpts') && args.value('format') !== undefined) {
    throw new Failure('--image-opts and --format are mutually exclusive')
  }
  if (args.has('targetImageOpts') && !skip) throw new Failure('--target-image-opts requires use of -n flag')
  if (args.has('targetImageOpts') && args.has('target')) {
    throw new Failure('--image-opts and --format are mutually exclusive')
  }
  if (args.has('skipBroken') && !args.has('bitmaps'))
    throw new Failure('Use of --skip-broken-bitmaps requires --bitmaps')
  if (args.has('offload') && args.has('compress')) throw new Failure('Cannot enable copy offloading when -c is used')
  if (args.has('offload') && sparse !== undefined) throw new Failure('Cannot enable copy offloading when -S is used')
  if (args.has('offload') && args.has('salvage')) {
    throw new Failure('Cannot use copy offloading in salvaging mode')
  }
  if (skip && args.has('options')) throw new Failure('-o has no effect when skipping image creation')
  if (args.has('targetIsZero') && !skip) throw new Failure('--target-is-zero requires use of -n flag')
  const sources = args.operands.slice(0, -1)
  const output = args.operands.at(-1)
  if (output === undefined || sources.length === 0) throw new Failure('Must specify image file name')
  if (args.has('snapshot') && sources.length > 1) throw new Failure('No support for concatenating multiple snapshot')
  cacheMode(args.value('sourceCache') ?? 'writeback', true)
  // A target that is new is worth nothing until it is whole: QEMU does not flush it either.
  return { sources, output, sparseSize, cache: cacheMode(args.value('targetCache') ?? 'unsafe') }
}

interface Work extends Names {
  readonly target: string
  readonly sources: readonly SourceDisk[]
  readonly secrets: Secrets
  readonly line: ProgressLine
  readonly quiet: boolean
}

async function copyAll(host: Host, args: Arguments, work: Work): Promise<void> {
  const { output, target, sources, sparseSize, line, quiet } = work
  const compressed = args.has('compress')
  const skip = args.has('noCreate')
  const targetImageOpts = args.has('targetImageOpts')
  if (!targetImageOpts && !formatOptions[target]) throw new Failure(`Unknown file format '${target}'`)
  const values: Values = new Map()
  if (!skip) readOptions(args.optionLists(), creationOptions(target), values)
  const backing = args.value('backing') ?? values.get('backing_file')
  if (args.value('backing') !== undefined) values.set('backing_file', args.value('backing') ?? '')
  if (args.value('backingFormat') !== undefined) values.set('backing_fmt', args.value('backingFormat') ?? '')
  const size = sources.reduce((sum, each) => sum + each.size, 0)
  if (!targetImageOpts) {
    if (backing !== undefined && target === 'raw') throw new Failure("Backing file not supported for file format 'raw'")
    if (compressed && target === 'raw') throw new Failure('Compression not supported for this file format')
    if (args.has('bitmaps') && target === 'raw') throw new Failure(`Format driver '${target}' does not support bitmaps`)
  }
  const bitmaps = args.has('bitmaps') ? await copiedBitmaps(host, sources, args.has('skipBroken'), quiet) : []
  if (bitmaps.length > 0 && values.get('compat') === '0.10') {
    throw new Failure(`Format driver '${target}' does not support bitmaps`)
  }
  if (backing !== undefined && sources.length > 1) {
    throw new Failure('Having a backing file for the target makes no sense when concatenating multiple input images')
  }
  if (backing !== undefined && !skip && !values.has('backing_fmt')) {
    throw new Failure('Use of backing file requires explicit backing format')
  }
  let backingSize = 0
  if (backing !== undefined) {
    const spec = namedImage(relativeTo(output, backing), values.get('backing_fmt'))
    try {
      const base = await openImage(host, spec, { secrets: work.secrets, noData: true })
      backingSize = base.size
      await base.close()
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const reason = error.message.slice(`Could not open '${spec.shown}': `.length)
      throw new Failure(`Could not open '${output}': Could not open backing file: ${reason}`)
    }
  }
  if (!skip) {
    values.set('size', String(size))
    try {
      await createImage(host, { name: output, format: target, values, secrets: work.secrets })
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      throw new Failure(`${output}: error while converting ${target}: ${error.message}`)
    }
  }
  const spec = imageSpec(output, targetImageOpts ? undefined : target, targetImageOpts)
  const keySecret = values.get('encrypt.key-secret')
  const options = {
    compressed,
    sparseSize,
    // What is not stored in an overlay comes from its backing file.
    ...(backing === undefined ? {} : { backing: { name: backing, format: 'raw' as const } }),
    targetIsZero: (!skip || args.has('targetIsZero')) && sparseSize > 0,
    detectZeroes: !args.has('offload'),
    onProgress: line.update,
    // What is missing at the end of a file reads as zeros, as QEMU reads it.
    acceptMissing: true,
    workers: compressed ? workersFor(values) : 0,
    salvage: args.has('salvage'),
    onUnreadable: (offset: number) => quiet || unreadable(host, offset),
  }
  const from: MappedDisk[] = sources.map((each) => (backing === undefined ? each : upTo(each, backingSize)))
  const secrets = work.secrets
  const into = await openImage(
    host,
    { ...spec, format: spec.format ?? target, keySecret: spec.keySecret ?? keySecret },
    {
      writable: true,
      secrets,
      cache: work.cache,
    },
  )
  let closed = false
  try {
    if (skip && into.size < size) throw new Failure('output file is smaller than input file')
    if (into.qcow2) {
      if (compressed && values.has('data_file'))
        throw new Failure('error while writing at byte 0: Operation not supported')
      await copying(convertDisk(from, into.qcow2, options))
      await copyBitmaps(sources[0], into.qcow2, bitmaps)
    }
    closed = true
    await into.close()
    const [file] = into.files
    const path = file?.path ?? located(host, output)
    if (into.qcow2) {
      if (!skip) await completeEnd(path, compressed ? 512 : Number(values.get('cluster_size') ?? 65536))
      return
    }
    if (!statSync(path).isFile()) throw new Failure(`Could not open '${output}': it is not a regular file`)
    const storage = writableFile(path, work.cache)
    await copying(convertDisk(from, storage, { ...options, format: 'raw', existing: true }))
  } finally {
    if (!closed) await into.close()
  }
}

/** How many workers compress: Node has its own threads for Deflate, and none for Zstandard. */
function workersFor(values: Values): number {
  return values.get('compression_type') === 'zstd' && typeof Worker === 'function' ? availableParallelism() : 0
}

/** Stores the end of the last cluster, or of the last sector with compressed data, as QEMU does. */
async function completeEnd(path: string, unit: number): Promise<void> {
  const { header } = await inspect(nodeFile(path, { sync: true }))
  const { size } = statSync(path)
  const missing = Math.ceil(size / unit) * unit - size
  // An image without data ends with its table.
  if (header && size > Number(header.l1TableOffset) + header.l1Size * 8) appendFileSync(path, new Uint8Array(missing))
}

/** The bitmaps that are copied; inconsistent ones are refused, or left out. */
async function copiedBitmaps(
  host: Host,
  sources: readonly SourceDisk[],
  skipBroken: boolean,
  quiet: boolean,
): Promise<readonly BitmapInfo[]> {
  const [source] = sources
  if (sources.length > 1) throw new Failure('Copying bitmaps only possible with single source')
  const details = await source?.qcow2?.info()
  if (!details || details.version < 3) throw new Failure('Source lacks bitmap support')
  return details.bitmaps.filter(({ name, inUse }) => {
    if (!inUse) return true
    if (!skipBroken) {
      throw new Failure(
        `Cannot copy inconsistent bitmap '${name}'\nTry --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it`,
      )
    }
    if (!quiet) host.err(`qemu-img: warning: Skipping inconsistent bitmap '${name}'\n`)
    return false
  })
}

async function copyBitmaps(source: SourceDisk | undefined, into: Qcow2, bitmaps: readonly BitmapInfo[]): Promise<void> {
  for (const { name, granularity, auto } of bitmaps) {
    await into.bitmaps.create(name, { granularity, enabled: false })
    await into.bitmaps.merge(name, name, source?.qcow2?.bitmaps)
    if (auto) await into.bitmaps.enable(name)
  }
}

async function copying(conversion: Promise<unknown>): Promise<void> {
  try {
    await conversion
  } catch (error) {
    if (!isQcow2Error(error)) throw error
    if (error.code === 'NO_COMPRESSION') throw new Failure('Compression not supported for this file format')
    throw new Failure(`error while reading at byte ${error.offset ?? 0}: Input/output error`)
  }
}

function unreadable(host: Host, offset: number): void {
  host.err(`qemu-img: warning: error while reading offset ${offset}: Input/output error\n`)
}

/** A disk whose zeros past the end of the target's backing file need not be stored. */
function upTo(disk: SourceDisk, backingSize: number): MappedDisk {
  return {
    size: disk.size,
    read: disk.read.bind(disk) as MappedDisk['read'],
    async *map(options: MapOptions = {}): AsyncGenerator<Extent> {
      for await (const extent of disk.map(options)) {
        const { start, length, zero } = extent
        const end = start + length
        if (!zero || end <= backingSize) yield extent
        else {
          const inside = Math.max(0, backingSize - start)
          if (inside > 0) yield { ...extent, length: inside }
          yield { ...extent, start: start + inside, length: length - inside, depth: 1, present: false, data: false }
        }
      }
    },
  }
}
