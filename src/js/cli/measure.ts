import { type MeasureOptions, measure as measureDisk } from '../index.js'
import { Arguments, sizeArgument } from './arguments.js'
import type { Command } from './command.js'
import type { SourceDisk } from './disk.js'
import { Failure } from './failure.js'
import { formatOptions, isOn, readOptions, type Values } from './format-options.js'
import { pretty } from './json.js'
import { imageSpec, openImage } from './open.js'
import { checkRefcountBits } from './qcow2-options.js'
import { readSecrets, type Secrets } from './secrets.js'
import { maxSize } from './sizes.js'
import { snapshotId } from './snapshot-parameter.js'

/** `measure`: reports how large a new image would be. */
export const measure: Command = {
  summary: 'Reports how large the file of a new image would be.',
  usage:
    'measure [-f FMT|--image-opts] [-o OPTIONS] [-O OUTPUT_FMT] [--output OFMT] [--object OBJDEF] [-l SNAPSHOT_PARAM] [-c] (--size SIZE | FILENAME)',
  options: {
    target: { short: 'O', long: 'target-format', takesValue: true },
    options: { short: 'o', long: 'options', takesValue: true },
    size: { long: 'size', takesValue: true },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    snapshot: { short: 'l', long: 'snapshot', takesValue: true },
    object: { long: 'object', takesValue: true },
    output: { long: 'output', takesValue: true },
    compress: { short: 'c', long: 'compress' },
    forceShare: { short: 'U', long: 'force-share' },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const output = args.output()
    const [texts, target] = [args.optionLists(), args.value('target') ?? 'raw']
    const size = args.value('size') === undefined ? undefined : sizeArgument(args.value('size') ?? '', 'image size')
    const secrets = readSecrets(host, args.all('object'))
    const [name] = args.operands
    if (args.operands.length > 1) throw new Failure('At most one filename argument is allowed.')
    if (name !== undefined && size !== undefined) throw new Failure('--size N cannot be used together with a filename.')
    if (name === undefined && size === undefined) {
      throw new Failure('Either --size N or one filename must be specified.')
    }
    if (name === undefined && args.has('imageOpts'))
      throw new Failure('--image-opts, -f, and -l require a filename argument.')
    if (name === undefined && (args.value('format') ?? args.value('snapshot')) !== undefined) {
      throw new Failure('--image-opts, -f, and -l require a filename argument.')
    }
    let disk: SourceDisk | undefined
    if (name !== undefined) {
      const { format, imageOpts } = args.source()
      const wanted = args.value('snapshot')
      disk = await openImage(host, imageSpec(name, format, imageOpts), {
        secrets,
        ...(wanted === undefined ? {} : { snapshot: snapshotId(wanted) }),
      })
    }
    try {
      const table = formatOptions[target]
      if (!table) throw unsupported(target)
      const values: Values = new Map()
      try {
        readOptions(texts, table, values)
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        throw new Failure(`${error.message}\nqemu-img: Invalid options for file format '${target}'`)
      }
      const bytes = Number(size ?? BigInt(disk?.size ?? 0))
      const { options, version } = measureOptions(target, values, bytes, secrets)
      if (target === 'raw' && size !== undefined) {
        const whole = ((size + 511n) / 512n) * 512n
        if (output === 'json') host.out(`${pretty({ required: whole, 'fully-allocated': whole })}\n`)
        else host.out(`required size: ${whole}\nfully allocated size: ${whole}\n`)
        return 0
      }
      const details = await disk?.qcow2?.info()
      const copies = target === 'qcow2' && version === 3 && (details?.version ?? 2) >= 3
      const compression = args.has('compress') ? compressionOf(target, values) : undefined
      const found = await measureDisk(disk, {
        ...options,
        compression,
        size: bytes,
        bitmaps: copies ? details?.bitmaps.map((each) => ({ ...each, inUse: false })) : [],
      })
      const { required, fullyAllocated, bitmaps, estimatedCompressed } = found
      if (output === 'json') {
        const report = { required, 'fully-allocated': fullyAllocated, bitmaps: copies ? bitmaps : undefined }
        host.out(`${pretty({ ...report, 'estimated-compressed': estimatedCompressed })}\n`)
      } else {
        host.out(`required size: ${required}\nfully allocated size: ${fullyAllocated}\n`)
        if (copies) host.out(`bitmaps size: ${bitmaps}\n`)
        if (estimatedCompressed !== undefined) host.out(`estimated compressed size: ${estimatedCompressed}\n`)
      }
      return 0
    } finally {
      await disk?.close()
    }
  },
}

const others = ['vmdk', 'vdi', 'vhdx', 'vpc', 'qed', 'qcow', 'parallels', 'luks', 'dmg', 'bochs', 'cloop']

function unsupported(format: string): Failure {
  if (others.includes(format)) return new Failure(`Block driver '${format}' does not support size measurement`)
  return new Failure(`Unknown file format '${format}'`)
}

function compressionOf(target: string, values: Values): 'zlib' | 'zstd' {
  if (target !== 'qcow2') throw new Failure('Compression not supported for this file format')
  return values.get('compression_type') === 'zstd' ? 'zstd' : 'zlib'
}

function measureOptions(
  target: string,
  values: Values,
  size: number,
  secrets: Secrets,
): { readonly options: MeasureOptions; readonly version: number } {
  if (target === 'raw') return { options: { format: 'raw' }, version: 3 }
  const clusterSize = Number(values.get('cluster_size') ?? 65536)
  if (clusterSize < 512 || clusterSize > 2 ** 21 || !Number.isInteger(Math.log2(clusterSize))) {
    throw new Failure('Cluster size must be a power of two between 512 and 2048k')
  }
  const compat = values.get('compat') ?? '1.1'
  const version = ({ '0.10': 2, v2: 2, '1.1': 3, v3: 3 } as Record<string, number>)[compat]
  if (version === undefined) throw new Failure(`Invalid compatibility level: '${compat}'`)
  const preallocation = values.get('preallocation') ?? 'off'
  if (!['off', 'metadata', 'falloc', 'full'].includes(preallocation)) {
    throw new Failure(`invalid parameter value: ${preallocation}`)
  }
  const refcountBits = Number(values.get('refcount_bits') ?? 16)
  checkRefcountBits(refcountBits)
  if (version < 3 && refcountBits !== 16) {
    throw new Failure(
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)',
    )
  }
  const extendedL2 = isOn(values, 'extended_l2')
  if (extendedL2 && clusterSize < 16384) {
    throw new Failure('Extended L2 entries are only supported with cluster sizes of at least 16384 bytes')
  }
  const isLuks = values.get('encrypt.format') === 'luks'
  if (isLuks) {
    const id = values.get('encrypt.key-secret')
    if (id === undefined) throw new Failure("Parameter 'encrypt.key-secret' is required for cipher")
    if (!secrets.has(id)) throw new Failure(`No secret with id '${id}'`)
  }
  const tables = Math.ceil(size / clusterSize / (clusterSize / (extendedL2 ? 16 : 8)))
  if (tables * 8 > 32 * 2 ** 20 || BigInt(Math.ceil(size)) > maxSize) {
    throw new Failure('The image size is too large (try using a larger cluster size)')
  }
  const options: MeasureOptions = {
    clusterSize,
    refcountBits,
    extendedL2,
    preallocation: preallocation === 'falloc' ? 'full' : (preallocation as 'off' | 'metadata' | 'full'),
    backing: values.has('backing_file'),
    luksBytes: isLuks ? luksBytes(values) : 0,
  }
  return { options, version }
}

/** The bytes of a LUKS header with its eight key slots, for the key of a cipher. */
function luksBytes(values: Values): number {
  const bits = Number(/\d+$/.exec(values.get('encrypt.cipher-alg') ?? 'aes-256')?.[0] ?? 256)
  const keyBytes = (bits / 8) * ((values.get('encrypt.cipher-mode') ?? 'xts') === 'xts' ? 2 : 1)
  return 4096 + 8 * Math.ceil((keyBytes * 4000) / 4096) * 4096
}
