import { type AmendOptions, amend as amendImage, isQcow2Error, nodeFile } from '../index.js'
import { Arguments, cacheMode } from './arguments.js'
import type { Command } from './command.js'
import { Failure, UsageError } from './failure.js'
import {
  amendable,
  creationOptions,
  formatOptions,
  helpLines,
  isOn,
  readOptions,
  type Values,
} from './format-options.js'
import type { Host } from './host.js'
import { amendKeySlots } from './key-slots.js'
import { asksForHelp } from './keyval.js'
import { imageSpec, openImage } from './open.js'
import { ProgressLine } from './progress.js'
import { checkRefcountBits } from './qcow2-options.js'
import { readSecrets } from './secrets.js'

/** `amend`: changes the options of an image that exists. */
export const amend: Command = {
  summary: 'Changes the options of an image.',
  usage: 'amend [-f FMT | --image-opts] [-t CACHE] [--force] [-p] [-q] [--object OBJDEF] -o OPTIONS FILENAME',
  options: {
    quiet: { short: 'q', long: 'quiet' },
    progress: { short: 'p', long: 'progress' },
    format: { short: 'f', long: 'format', takesValue: true },
    imageOpts: { long: 'image-opts' },
    object: { long: 'object', takesValue: true },
    options: { short: 'o', long: 'options', takesValue: true },
    cache: { short: 't', long: 'cache', takesValue: true },
    force: { long: 'force' },
  },
  async run(host, parsed) {
    const args = new Arguments(parsed)
    const texts = args.optionLists()
    if (texts.length === 0) throw new UsageError('Must specify options (-o)')
    const line = new ProgressLine(host, args.has('progress') && !args.has('quiet'), true)
    try {
      await change(host, args, texts, line)
      return 0
    } catch (error) {
      if (!(error instanceof Failure) || !args.has('progress')) throw error
      host.err(`qemu-img: ${error.message}\n`)
      return 1
    } finally {
      line.end()
    }
  },
}

async function change(host: Host, args: Arguments, texts: readonly string[], line: ProgressLine): Promise<void> {
  const { format, imageOpts } = args.source()
  const secrets = readSecrets(host, args.all('object'))
  const help = texts.some(asksForHelp)
  if (help && format !== undefined) return printHelp(host, format)
  const [name] = args.operands
  if (name === undefined || args.operands.length > 1) throw new Failure('Expecting one image file name')
  const cache = cacheMode(args.value('cache') ?? 'writeback')
  const disk = await openImage(host, imageSpec(name, format, imageOpts), {
    writable: true,
    secrets,
    cache,
  })
  const { qcow2 } = disk
  const values: Values = new Map()
  const [file] = disk.files
  try {
    if (help) return printHelp(host, disk.format)
    if (!qcow2 || !file) throw new Failure(`Format driver '${disk.format}' does not support option amendment`)
    readAmendments(texts, values)
    const details = await qcow2.info()
    const encrypted = details.encryption !== undefined
    const bits = values.get('refcount_bits')
    if (bits !== undefined) checkRefcountBits(Number(bits))
    line.show()
    try {
      check(values, details)
    } catch (error) {
      line.to(100)
      throw error
    }
    if (values.get('size') !== undefined) {
      await qcow2.resize(BigInt(values.get('size') ?? 0), { shrink: true })
    }
    const keys = [...values.keys()].filter((key) => key.startsWith('encrypt.'))
    if (keys.length > 0) {
      if (!encrypted) throw new Failure("Can't amend encryption options - encryption not present")
      if (details.encryption?.format !== 'luks') {
        throw new Failure('Only LUKS encryption options can be amended for qcow2 with amend')
      }
      await amendKeySlots(qcow2, values, secrets, {
        passphrase: secrets.get(file.keySecret ?? ''),
        force: args.has('force'),
      })
    }
  } finally {
    await disk.close()
  }
  await amendFile(file.path, values, line)
}

function printHelp(host: Host, format: string): void {
  if (format !== 'qcow2') {
    if (!(format in formatOptions)) throw new Failure(`Unknown file format '${format}'`)
    throw new Failure(`Format driver '${format}' does not support option amendment`)
  }
  host.out(`Amend options for 'qcow2':\n${helpLines(amendable)}`)
}

function readAmendments(texts: readonly string[], values: Values): void {
  try {
    readOptions(texts, amendable, values)
  } catch (error) {
    const name = error instanceof Failure ? /^Invalid parameter '(.*)'$/.exec(error.message)?.[1] : undefined
    if (name === undefined || !Object.hasOwn(creationOptions('qcow2'), name)) throw error
    throw new Failure(`Invalid parameter '${name}'\nThis option is only supported for image creation`)
  }
}

type Details = Awaited<ReturnType<NonNullable<Awaited<ReturnType<typeof openImage>>['qcow2']>['info']>>

/** Throws what QEMU reports before it changes anything. */
function check(values: Values, details: Details): void {
  const compat = values.get('compat')
  const version = compat === undefined ? details.version : versions[compat]
  if (version === undefined) throw new Failure(`Unknown compatibility level ${compat}`)
  const newer = '(use compat=1.1 or greater)'
  if (values.has('backing_file') || values.has('backing_fmt')) {
    const same = values.get('backing_file') === details.backingFile
    const sameFormat = values.get('backing_fmt') === details.backingFormat
    if (!same || !sameFormat) throw new Failure("Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.")
  }
  const bits = values.get('refcount_bits')
  if (values.has('data_file') && !details.externalDataFile) {
    throw new Failure('data-file can only be set for images that use an external data file')
  }
  if (isOn(values, 'data_file_raw') && !details.dataFileRaw) {
    throw new Failure('data-file-raw cannot be set on existing images')
  }
  if (isOn(values, 'lazy_refcounts') && version < 3) {
    throw new Failure(`Lazy refcounts only supported with compatibility level 1.1 and above ${newer}`)
  }
  if (bits !== undefined && bits !== '16' && version < 3) {
    throw new Failure(`Refcount widths other than 16 bits require compatibility level 1.1 or above ${newer}`)
  }
  if (version < 3 && details.version >= 3) {
    if (details.externalDataFile) throw new Failure('Cannot downgrade an image with a data file')
    if (details.extendedL2) throw new Failure('Cannot downgrade an image with incompatible features 0x10 set')
  }
}

const versions: Readonly<Record<string, number>> = { '0.10': 2, v2: 2, '1.1': 3, v3: 3 }

async function amendFile(path: string, values: Values, line: ProgressLine): Promise<void> {
  const [compat, lazy, bits] = [values.get('compat'), values.get('lazy_refcounts'), values.get('refcount_bits')]
  const version = compat === undefined ? undefined : versions[compat]
  try {
    await amendImage(nodeFile(path, { sync: true }), {
      ...(version === 2 || version === 3 ? { version } : {}),
      lazyRefcounts: lazy === undefined ? undefined : isOn(values, 'lazy_refcounts'),
      refcountBits: bits === undefined ? undefined : Number(bits),
      ...dataFileIn(values),
    })
  } catch (error) {
    throw new Failure(isQcow2Error(error) ? amendReason(error.reason, bits) : String(error))
  } finally {
    // An image that goes back to version 2 is reported twice.
    if (version === 2) line.to(100)
    line.to(100)
  }
}

/** What is to be recorded of the data file. An image without one accepts only that it is not raw. */
function dataFileIn(values: Values): Pick<AmendOptions, 'dataFile'> {
  const name = values.get('data_file')
  const raw = values.has('data_file_raw') ? isOn(values, 'data_file_raw') : undefined
  return name === undefined && raw === undefined ? {} : { dataFile: { name, raw } }
}

/** QEMU's words for what prevents a change. */
function amendReason(reason: string, bits: string | undefined): string {
  const [, offset, count] = /^The cluster at offset (0x[0-9a-f]+) has (\d+) references/.exec(reason) ?? []
  if (offset !== undefined) {
    return `Cannot decrease refcount entry width to ${bits} bits: Cluster at offset ${offset} has a refcount of ${count}`
  }
  if (/compressed clusters of another kind/.test(reason)) {
    return 'Cannot downgrade an image with zstd compression type and existing compressed clusters'
  }
  return reason.replace(/\.$/, '')
}
