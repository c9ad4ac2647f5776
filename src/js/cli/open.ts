import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import type { Backing, SyncStorage, WritableSyncStorage } from '../index.js'
import { inspect, isQcow2Error, memory, nodeFile, Qcow2 } from '../index.js'
import type { Caching } from './arguments.js'
import { QcowDisk, RawDisk, type SourceDisk } from './disk.js'
import { Failure } from './failure.js'
import { type Host, located } from './host.js'
import type { ImageFile } from './image-file.js'
import { type Secrets, systemReason } from './secrets.js'
import { describedImage, fileName, type ImageSpec, namedImage, type Overridden, relativeTo } from './spec.js'

/** How a command opens images. */
export interface Opening {
  readonly writable?: boolean
  /** Leaves the backing files closed. */
  readonly noBacking?: boolean
  /** Leaves encrypted data locked, and data files closed: only the metadata can be read. */
  readonly noData?: boolean
  readonly secrets?: Secrets
  readonly cache?: Caching
  /** Opens this snapshot. */
  readonly snapshot?: string
}

/** The image that an argument names, as an option string or as a file. */
export function imageSpec(name: string, format: string | undefined, imageOpts: boolean): ImageSpec {
  return imageOpts ? describedImage(name) : namedImage(name, format)
}

/** Looks at a file and, unless the caller wants it alone, at the chain below it. */
export async function filesOf(host: Host, spec: ImageSpec, opening: Opening = {}): Promise<ImageFile[]> {
  const { shown } = spec
  const refuse = (reason: string) => new Failure(`Could not open '${shown}': ${reason}`)
  const files: ImageFile[] = [await look(host, spec, refuse)]
  let overridden = spec.backing
  for (let last = files[0]; last && !opening.noBacking; last = files.at(-1)) {
    const next = backingOf(last, overridden)
    if (!next) break
    if (files.length > 200) throw refuse('The backing chain is too long')
    const wrap = 'Could not open backing file: '.repeat(files.length)
    const at = (reason: string) => refuse(`${wrap}${reason}`)
    // An image from elsewhere must not open a device of this machine by naming it.
    files.push(await look(host, next, at, true))
    overridden = next.backing
  }
  return files
}

/** What a file's backing file is; `undefined` where it has none. */
function backingOf(file: ImageFile, overridden: Overridden | undefined): ImageSpec | undefined {
  const recorded = file.inspection?.backingFile
  const given = overridden?.filename
  if (recorded === undefined && given === undefined) return undefined
  if (given !== undefined) return { ...overridden, shown: given, filename: given }
  const named = namedImage(relativeTo(file.name, recorded ?? ''), file.inspection?.backingFormat)
  return {
    ...named,
    keySecret: overridden?.keySecret ?? named.keySecret,
    format: overridden?.format ?? named.format,
    backing: overridden?.backing ?? named.backing,
    dataFile: overridden?.dataFile ?? named.dataFile,
  }
}

async function look(
  host: Host,
  spec: ImageSpec,
  refuse: (reason: string) => Failure,
  plain = false,
): Promise<ImageFile> {
  const { filename, keySecret } = spec
  if (filename === '') throw refuse("The 'file' block driver requires a file name")
  const path = located(host, filename)
  const couldNot = `Could not open '${filename}': `
  const start = readHead(path, plain, (reason) => refuse(`${couldNot}${reason}`), refuse, filename)
  const format = spec.format ?? probe(start)
  if (format !== 'qcow2' && format !== 'raw') {
    throw refuse(spec.format === undefined ? `The format '${format}' is not supported` : `Unknown driver '${format}'`)
  }
  const given = spec.format !== undefined
  if (format === 'raw')
    return {
      name: filename,
      path,
      format,
      given,
      inspection: undefined,
      dataFile: undefined,
      dataPath: undefined,
      keySecret,
    }
  if (!isQcow2(start)) throw refuse('Image is not in qcow2 format')
  const version = new DataView(start.buffer, start.byteOffset).getUint32(4)
  if (version < 2 || version > 3) throw refuse(`Unsupported qcow2 version ${version}`)
  const inspection = await inspect(nodeFile(path, { sync: true })).catch((error: unknown) => {
    throw refuse(openingReason(error, filename))
  })
  const recorded = inspection.dataFile
  const external = ((inspection.header?.incompatibleFeatures ?? 0n) & 4n) !== 0n
  const data =
    spec.dataFile ?? (external && recorded !== undefined ? dataFileName(host, filename, recorded) : undefined)
  const dataPath = data === undefined ? undefined : located(host, data)
  return { name: filename, path, format, given, inspection, dataFile: data, dataPath, keySecret }
}

/** Where a data file is: beside the image or, as QEMU has it, in the current directory. */
function dataFileName(host: Host, image: string, recorded: string): string {
  const beside = relativeTo(image, recorded)
  return existsSync(located(host, beside)) ? beside : recorded
}

/** The first bytes of a file, which identify its format. */
function readHead(
  path: string,
  plain: boolean,
  refuse: (reason: string) => Failure,
  refuseBare: (reason: string) => Failure,
  name: string,
): Uint8Array {
  try {
    const stat = statSync(path)
    if (stat.isDirectory() || (plain && !stat.isFile())) {
      throw refuseBare(`'file' driver requires '${name}' to be a regular file`)
    }
    const file = openSync(path, 'r')
    try {
      const start = new Uint8Array(fstatSync(file).isFile() ? 512 : 0)
      return start.subarray(0, readSync(file, start, 0, start.length, 0))
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw refuse(systemReason(error))
  }
}

const magics: readonly [format: string, magic: string][] = [
  ['vmdk', 'KDMV'],
  ['vmdk', 'COWD'],
  ['vhdx', 'vhdxfile'],
  ['vpc', 'conectix'],
  ['qed', 'QED\0'],
  ['parallels', 'WithoutFreeSpace'],
]

function probe(start: Uint8Array): string {
  if (isQcow2(start)) return 'qcow2'
  if (start[0] === 0x51 && start[1] === 0x46 && start[2] === 0x49 && start[3] === 0xfb) return 'qcow'
  const text = String.fromCharCode(...start.subarray(0, 16))
  return magics.find(([, magic]) => text.startsWith(magic))?.[0] ?? 'raw'
}

function isQcow2(start: Uint8Array): boolean {
  return start[0] === 0x51 && start[1] === 0x46 && start[2] === 0x49 && start[3] === 0xfb && start[7] !== 1
}

/** Opens an image with its chain. */
export async function openImage(host: Host, spec: ImageSpec, opening: Opening = {}): Promise<SourceDisk> {
  const files = await filesOf(host, spec, opening)
  return openFiles(host, spec, files, opening)
}

/** Opens the first of `files` over the others. */
export async function openFiles(
  host: Host,
  { shown }: Pick<ImageSpec, 'shown'>,
  files: readonly ImageFile[],
  opening: Opening = {},
): Promise<SourceDisk> {
  const { writable = false, noData = false, cache = 'writeback' } = opening
  const [top, ...below] = files
  if (!top) throw new Failure(`Could not open '${shown}'`)
  const couldNot = `Could not open '${shown}': `
  if (top.format === 'raw') {
    if (opening.snapshot !== undefined) {
      throw new Failure(
        "Failed to load snapshot: Block format 'raw' used by device '' does not support temporarily loading internal snapshots",
      )
    }
    if (writable && !top.given) warnOfProbing(host, shown)
    try {
      return RawDisk.open(top, writable, cache)
    } catch (error) {
      throw new Failure(`${couldNot}Could not open '${top.name}': ${systemReason(error)}`)
    }
  }
  // Opening an image may need no more than its tables.
  const data = (file: ImageFile) => (noData ? memory() : dataStorage(host, file, couldNot))
  try {
    const image = await Qcow2.open(writableFile(top.path, cache), {
      writable,
      cache: cache === 'writethrough' ? cache : 'writeback',
      backing: opening.noBacking
        ? null
        : ({ depth }) => {
            const file = below[depth - 1]
            // A chain may be cut off on purpose.
            return file ? backingFile(host, file, opening, couldNot) : null
          },
      passphrase: noData ? null : passphraseOf(top, opening, couldNot),
      dataFile: hasDataFile(top) ? data(top) : undefined,
    })
    if (opening.snapshot === undefined) return new QcowDisk(image, files)
    try {
      return new QcowDisk(image, files, await image.snapshots.open(opening.snapshot))
    } catch (error) {
      await image.close()
      if (!isQcow2Error(error) || error.code !== 'NO_SUCH_SNAPSHOT') throw error
      throw new Failure("Failed to load snapshot: Can't find snapshot")
    }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(`${couldNot}${openingReason(error, top.name, top)}`)
  }
}

/** A file as a storage. */
export function writableFile(path: string, cache: Caching): WritableSyncStorage {
  const file = nodeFile(path, { sync: true })
  return cache === 'unsafe' ? { ...file, flushSync() {} } : file
}

function hasDataFile({ inspection }: ImageFile): boolean {
  return ((inspection?.header?.incompatibleFeatures ?? 0n) & 4n) !== 0n
}

function backingFile(host: Host, file: ImageFile, opening: Opening, couldNot: string): Backing {
  const passphrase = opening.noData ? undefined : passphraseOf(file, opening, couldNot)
  return {
    storage: file.format === 'raw' ? wholeSectors(file.path) : nodeFile(file.path, { sync: true }),
    format: file.format,
    dataFile: hasDataFile(file) ? dataStorage(host, file, couldNot) : undefined,
    passphrase: passphrase ?? undefined,
  }
}

/** A raw file, as a storage of whole sectors. */
function wholeSectors(path: string): SyncStorage {
  const file = nodeFile(path, { sync: true })
  const length = () => Number(file.size())
  return {
    open: (options) => file.open?.(options),
    size: () => Math.ceil(length() / 512) * 512,
    readSync(offset, into) {
      const end = Math.max(0, Math.min(into.length, length() - offset))
      if (end > 0) file.readSync(offset, into.subarray(0, end))
      into.fill(0, end)
    },
    close: () => file.close?.(),
  }
}

function dataStorage(host: Host, file: ImageFile, couldNot: string) {
  if (file.dataFile === undefined) {
    throw new Failure(`${couldNot}'data-file' is required for this image`)
  }
  const name = fileName(file.dataFile)
  if (typeof name !== 'string') throw new Failure(`${couldNot}Could not open '${file.dataFile}'`)
  const path = located(host, name)
  readHead(
    path,
    true,
    (reason) => new Failure(`${couldNot}Could not open '${name}': ${reason}`),
    (reason) => new Failure(`${couldNot}${reason}`),
    name,
  )
  return nodeFile(path, { sync: true })
}

function passphraseOf(file: ImageFile, { secrets }: Opening, couldNot: string): Uint8Array | null {
  if ((file.inspection?.header?.cryptMethod ?? 0) === 0) return null
  const { keySecret } = file
  if (keySecret === undefined) throw new Failure(`${couldNot}Parameter 'encrypt.key-secret' is required for cipher`)
  const found = secrets?.get(keySecret)
  if (!found) throw new Failure(`${couldNot}No secret with id '${keySecret}'`)
  return found.slice()
}

/** Warns that the format of a raw image was not given: its guest can then make it look like another format. */
export function warnOfProbing(host: Host, name: string): void {
  const rest =
    '         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n' +
    "         Specify the 'raw' format explicitly to remove the restrictions.\n"
  host.err(`WARNING: Image format was not specified for '${name}' and probing guessed raw.\n${rest}`)
}

/** Why an image could not be opened. */
export function openingReason(error: unknown, filename: string, file?: ImageFile): string {
  if (!isQcow2Error(error)) return systemReason(error)
  const { code, reason, cause } = error
  switch (code) {
    case 'NOT_QCOW2':
      return 'Image is not in qcow2 format'
    case 'UNSUPPORTED_FEATURES': {
      const unknown = (file?.inspection?.features ?? []).filter(({ kind, bit }) => kind === 'incompatible' && bit > 4)
      const names = unknown.map(
        ({ bit, name }) => name ?? `Unknown incompatible feature: ${(1n << BigInt(bit)).toString(16)}`,
      )
      return `Unsupported qcow2 feature(s): ${names.join(', ')}`
    }
    case 'WRONG_PASSPHRASE':
      return 'Invalid password, cannot unlock any keyslot'
    case 'MARKED_CORRUPT':
      return 'qcow2: Image is corrupt; cannot be opened read/write'
    case 'IN_USE':
      return `Failed to get shared "write" lock\nIs another process using the image [${filename}]?`
    default:
      return cause === undefined ? headerReason(reason) : systemReason(cause)
  }
}

/** The message of QEMU for a header that is not valid; our own words where QEMU has none. */
function headerReason(reason: string): string {
  const number = (pattern: RegExp) => pattern.exec(reason)?.[1]
  const bits = number(/^The cluster size in the header is 2\^(\d+)/)
  if (bits !== undefined) return `Unsupported cluster size: 2^${bits}`
  const length = number(/^The header length in the header is (\d+) bytes/)
  if (length !== undefined) return `qcow2 header ${Number(length) < 104 ? 'too short' : 'exceeds cluster size'}`
  const method = number(/^The image is encrypted by method (\d+)/)
  if (method !== undefined) return `Unsupported encryption method ${method}`
  const needed = number(/^The L1 table has \d+ entries, but a disk of this size needs (\d+)/)
  if (needed !== undefined) return Number(needed) >= 2 ** 31 ? 'Image is too big' : 'L1 table is too small'
  if (/^The L1 table is at offset .* not the beginning of a cluster/.test(reason))
    return 'Active L1 table offset invalid'
  return reason.replace(/\.$/, '')
}
