import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { inspect, isQcow2Error, nodeFile, Qcow2 } from '../index.js'
import { Arguments, sizeArgument } from './arguments.js'
import type { Command } from './command.js'
import { Failure, UsageError } from './failure.js'
import {
  creationOptions,
  type FormatOptions,
  formatOptions,
  helpLines,
  isOn,
  readOptions,
  reported,
  type Values,
} from './format-options.js'
import { formats } from './formats.js'
import { type Host, located } from './host.js'
import { asksForHelp } from './keyval.js'
import { filesOf, openFiles } from './open.js'
import { qcow2Options } from './qcow2-options.js'
import { readSecrets, type Secrets, systemReason } from './secrets.js'
import { maxSize } from './sizes.js'
import { type ImageSpec, namedImage, relativeTo } from './spec.js'

/** `create`: makes a new image. */
export const create: Command = {
  summary: 'Makes a new image.',
  usage:
    'create [-f FMT] [-o FMT_OPTS] [-b BACKING_FILENAME [-F BACKING_FMT]] [-u] [-q] [--object OBJDEF] FILENAME [SIZE]',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    format: { short: 'f', long: 'format', takesValue: true },
    object: { long: 'object', takesValue: true },
    options: { short: 'o', long: 'options', takesValue: true },
    backing: { short: 'b', long: 'backing', takesValue: true },
    backingFormat: { short: 'F', long: 'backing-format', takesValue: true },
    unsafe: { short: 'u', long: 'backing-unsafe' },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const format = args.value('format') ?? 'raw'
    const texts = args.optionLists()
    const secrets = readSecrets(host, args.all('object'))
    const [name, size, extra] = args.operands
    if (texts.some(asksForHelp)) {
      host.out(creationHelp(format, name !== undefined))
      return 0
    }
    if (name === undefined) throw new UsageError('Expecting image file name')
    const bytes = size === undefined ? undefined : sizeArgument(size, 'image size')
    if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`)
    try {
      await make(host, {
        name,
        format,
        texts,
        size: bytes,
        backing: args.value('backing'),
        backingFormat: args.value('backingFormat'),
        unsafe: args.has('unsafe'),
        quiet: args.has('quiet'),
        secrets,
      })
    } catch (error) {
      throw error instanceof Failure ? new Failure(`${name}: ${error.message}`) : error
    }
    return 0
  },
}

/** What `-o help` prints: the options of the format and, where the file is named, of files. */
export function creationHelp(format: string, withFile: boolean): string {
  if (!knows(format)) throw new Failure(`Unknown file format '${format}'`)
  if (withFile) return `Supported options:\n${helpLines(creationOptions(format))}`
  const more =
    '\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n'
  return `Supported ${format} options:\n${helpLines(formatOptions[format] ?? {})}${more}`
}

/** What is to be made. */
export interface NewImage {
  readonly name: string
  readonly format: string
  /** The lists of `-o`. */
  readonly texts: readonly string[]
  readonly size: bigint | undefined
  readonly backing: string | undefined
  readonly backingFormat: string | undefined
  /** Does not open the backing file. */
  readonly unsafe: boolean
  readonly quiet: boolean
  readonly secrets: Secrets
}

function knows(format: string): boolean {
  return format === 'qcow2' || format === 'raw'
}

async function make(host: Host, wanted: NewImage): Promise<void> {
  const { name, format, texts, quiet } = wanted
  if (!knows(format)) throw new Failure(`Unknown file format '${format}'`)
  const table = creationOptions(format)
  createdPath(host, name)
  const values: Values = new Map()
  if (wanted.backing !== undefined) {
    if (!table.backing_file) throw new Failure(`Backing file not supported for file format '${format}'`)
    values.set('backing_file', wanted.backing)
  }
  if (wanted.backingFormat !== undefined) {
    if (!table.backing_fmt) throw new Failure(`Backing file format not supported for file format '${format}'`)
    values.set('backing_fmt', wanted.backingFormat)
  }
  readOptions(texts, table, values)
  if (wanted.size !== undefined) {
    if (values.has('size')) throw new Failure('The image size must be specified only once')
    values.set('size', String(wanted.size))
  }
  await completeBacking(host, wanted, values)
  const size = values.get('size')
  if (size === undefined) throw new Failure('Image creation needs a size parameter')
  if (!quiet) host.out(`Formatting '${name}', fmt=${format} ${reported(values, inOrder(table, format))}\n`)
  await createImage(host, { name, format, values, secrets: wanted.secrets })
}

/** Raw files report their size first, and qcow2 images in the order of the table. */
function inOrder(table: FormatOptions, format: string): FormatOptions {
  return format === 'raw' ? { size: { kind: 'size', help: '' }, ...table } : table
}

/** Looks at the backing file: whether it is there, its format, and the size that the image takes over. */
async function completeBacking(host: Host, { name, unsafe, secrets }: NewImage, values: Values): Promise<void> {
  const backing = values.get('backing_file')
  const format = values.get('backing_fmt')
  if (backing === undefined) return
  if (backing === '') throw new Failure('Expected backing file name, got empty string')
  if (backing === name) {
    throw new Failure('Error: Trying to create an image with the same filename as the backing file')
  }
  if (format !== undefined && !unsafe && !formats.includes(format)) {
    throw new Failure(`Unknown driver '${format}'\nCould not open backing image.`)
  }
  if (unsafe) {
    if (format === undefined) throw new Failure('Backing file specified without backing format')
    return
  }
  const recorded = relativeTo(name, backing)
  try {
    const spec: ImageSpec = namedImage(recorded, format)
    const files = await filesOf(host, spec)
    if (format === undefined) {
      throw new Failure(`Backing file specified without backing format\nDetected format of ${files[0]?.format}.`)
    }
    const disk = await openFiles(host, spec, files, { secrets, noData: true })
    if (!values.has('size')) values.set('size', String(disk.size))
    await disk.close()
  } catch (error) {
    if (!(error instanceof Failure) || error.message.startsWith('Backing file')) throw error
    // The name of the image is not repeated before that of the file.
    const prefix = `Could not open '${recorded}': `
    const rest = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message
    throw new Failure(`${rest}\nCould not open backing image.`)
  }
}

/** An image whose options are complete. */
export interface CompleteImage {
  readonly name: string
  readonly format: string
  readonly values: Values
  readonly secrets: Secrets
}

/** Makes the file of an image; where that fails, no file is left. */
export async function createImage(host: Host, image: CompleteImage): Promise<void> {
  const { name, format, values } = image
  const path = createdPath(host, name)
  if (format === 'raw') {
    return createRaw(path, name, BigInt(values.get('size') ?? 0), values.get('preallocation') ?? 'off')
  }
  const { dataFileName, ...options } = qcow2Options(values, image.secrets)
  // The data file comes first, as in QEMU.
  const size = Number(options.size)
  const isRaw = isOn(values, 'data_file_raw')
  const [clusterSize, dataPath] = [options.clusterSize ?? 65536, createdPath(host, dataFileName ?? name)]
  if (dataFileName !== undefined) {
    createRaw(dataPath, dataFileName, BigInt(isRaw ? Math.ceil(size / clusterSize) * clusterSize : size), 'off')
  }
  makeFile(path, name, 0n)
  try {
    const storage = nodeFile(path, { sync: true, create: true })
    const dataFile =
      dataFileName === undefined
        ? undefined
        : { storage: nodeFile(dataPath, { sync: true }), name: dataFileName, raw: isRaw }
    const made = await Qcow2.create(storage, { ...options, dataFile, overwrite: true })
    await made.close()
  } catch (error) {
    if (statSync(path).isFile()) unlinkSync(path)
    throw isQcow2Error(error) ? new Failure(error.reason.replace(/\.$/, '')) : error
  }
  await storeMetadata(path, (values.get('preallocation') ?? 'off') !== 'off')
}

/** Where a new file is to be. */
function createdPath(host: Host, name: string): string {
  const protocol = /^([A-Za-z0-9+.-]+):/.exec(name)?.[1]
  if (protocol !== undefined && protocol !== 'file') throw new Failure(`Unknown protocol '${protocol}'`)
  return located(host, name.replace(/^file:/, ''))
}

/**
 * Gives a new image the length and the stored blocks that QEMU gives it: `info` reports both. The file ends after its last
 * table, and no table has holes.
 */
async function storeMetadata(path: string, preallocated: boolean): Promise<void> {
  const { header, encryption } = await inspect(nodeFile(path, { sync: true }))
  if (!header) return
  const file = openSync(path, 'r+')
  try {
    const { size } = fstatSync(file)
    const tables = Number(header.l1TableOffset) + header.l1Size * 8
    // The key slots of a new image come last, and the table otherwise.
    const end = encryption?.format === 'luks' && !preallocated ? size : tables
    const bytes = new Uint8Array(Math.min(end, 1024 * 1024))
    for (let at = 0; at < end; at += bytes.length) {
      const count = readSync(file, bytes, 0, Math.min(bytes.length, end - at), at)
      writeSync(file, bytes, 0, count, at)
    }
    if (!preallocated && size - end < 2 ** header.clusterBits) ftruncateSync(file, end)
  } finally {
    closeSync(file)
  }
}

/** Makes a raw file, of whole sectors. Its first block is stored, so that what probes the file finds it. */
export function createRaw(path: string, name: string, size: bigint, preallocation: string): void {
  if (!['off', 'falloc', 'full'].includes(preallocation)) {
    if (preallocation === 'metadata') throw new Failure('Unsupported preallocation mode: metadata')
    throw new Failure(`invalid parameter value: ${preallocation}`)
  }
  makeFile(path, name, ((size + 511n) / 512n) * 512n, preallocation !== 'off')
}

function makeFile(path: string, name: string, length: bigint, full = false): void {
  let file: number
  try {
    file = openSync(path, 'w')
  } catch (error) {
    throw new Failure(`Could not create '${name}': ${systemReason(error)}`)
  }
  try {
    if (length > maxSize) throw new Failure('Could not resize file: Invalid argument')
    const size = Number(length)
    const first = Math.min(size, 4096)
    if (first > 0) writeSync(file, new Uint8Array(first), 0, first, 0)
    const zeros = new Uint8Array(1024 * 1024)
    for (let at = first; full && at < size; at += zeros.length) {
      writeSync(file, zeros, 0, Math.min(zeros.length, size - at), at)
    }
    ftruncateSync(file, size)
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`Could not resize file: ${systemReason(error)}`)
  } finally {
    closeSync(file)
  }
}
