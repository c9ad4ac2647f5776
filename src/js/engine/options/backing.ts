import { oneOf } from '../../base/arguments.js'
import { checkedStorage, type Storage } from '../../base/storage/contract.js'
import type { Source } from '../../storage/source.js'
import type { HostStorage } from '../host-storage.js'
import { type DataFile, type DataFileResolver, dataFileStorage, isResolver, recordedDataFile } from './data-file.js'
import { checkPassphrase, type Passphrase, type Passphrases } from './passphrase.js'

/** What an image records of its backing file. Names are never followed: what they mean is up to the resolver. */
export interface BackingRequest {
  /** The recorded name, often a path on the machine that made the image. */
  readonly name: string
  /** The recorded format, such as `qcow2` or `raw`; `undefined` if none is recorded. */
  readonly format: string | undefined
  /** How many steps down the chain the file is: 1 is the backing file of the opened image. */
  readonly depth: number
}

/** A backing file with its format, its data file or its passphrase. */
export interface BackingFile {
  /** Where its bytes are. */
  readonly storage: Source
  /** The name that an image records of it: what {@link CreateOptions.backing} takes. Opening looks at no name. */
  readonly name?: string | undefined
  /** Its format, whatever is recorded. Default: the recorded one, else what its first bytes show, as QEMU does. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /** Its external data file, if it has one: as {@link OpenOptions.dataFile}. */
  readonly dataFile?: Source | DataFile | DataFileResolver | undefined
  /** Its passphrase, if it is encrypted. Default: {@link OpenOptions.passphrase}. */
  readonly passphrase?: Passphrase | undefined
}

/**
 * Supplies backing files: called with what is recorded, once for each step of the chain. The answer may be `null` to
 * open without the file, so that its clusters read as zeros, or `undefined` if there is no such file, so that opening
 * fails with code `MISSING_BACKING_FILE`.
 *
 * For a file in a format that this package cannot read, such as `vmdk`, the answer may be a {@link Disk}: its bytes are the
 * contents of the file.
 */
export type BackingResolver = (
  request: BackingRequest,
) => Backing | Promise<Backing | null | undefined> | null | undefined

/** A backing file: where its bytes are, or that with its format, its data file or its passphrase. */
export type Backing = Source | BackingFile

/** A backing file as the engine knows it. */
export interface HostBackingFile {
  readonly storage: HostStorage
  readonly format: 'qcow2' | 'raw' | undefined
  readonly dataFile: HostStorage | undefined
}

/** What the engine calls for each backing file. */
export type EngineResolver = (
  name: string,
  format: string | undefined,
  depth: number,
) => Promise<HostBackingFile | null | undefined>

/** Every form in which a caller may give the backing files, as the one form of the engine. */
export function resolver(
  backing: Backing | readonly Backing[] | BackingResolver | null | undefined,
  open: (storage: Storage) => Promise<HostStorage>,
  passphrases: Passphrases,
): EngineResolver {
  const answer = byPosition(backing)
  const find: EngineResolver = async (name, format, depth) => {
    const found = await answer({ name, format, depth })
    if (!found) return found
    const file = checked(found, depth)
    passphrases.found(depth, name, file.passphrase)
    const storage = await open(file.storage)
    const data = await dataFileOf(file)
    return { storage, format: file.format, dataFile: data && (await open(data)) }
  }
  // An image that is opened a second time, in another module, has the same files.
  const files = new Map<number, ReturnType<EngineResolver>>()
  return (name, format, depth) => {
    const file = files.get(depth) ?? find(name, format, depth)
    files.set(depth, file)
    return file
  }
}

/** The data file of a backing file that is open, if it needs one and the caller has it. */
async function dataFileOf({ storage, format, dataFile }: Checked): Promise<Storage | undefined> {
  if (format === 'raw' || dataFile === undefined) return undefined
  const recorded = await recordedDataFile(storage)
  if (!recorded) return undefined
  const found = isResolver(dataFile) ? await dataFile(recorded) : dataFile
  return found ? checkedStorage(found, 'The data file of a backing file') : undefined
}

function byPosition(backing: Backing | readonly Backing[] | BackingResolver | null | undefined): BackingResolver {
  if (typeof backing === 'function') return backing
  if (!backing) return () => backing
  const files = isList(backing) ? backing : [backing]
  files.forEach((file, index) => {
    checked(file, index + 1)
  })
  return ({ depth }) => files[depth - 1]
}

function isList(backing: Backing | readonly Backing[]): backing is readonly Backing[] {
  return Array.isArray(backing)
}

/** A backing file whose files are storages, or functions that supply them. */
type Checked = BackingFile & { storage: Storage; dataFile?: Storage | DataFileResolver | undefined }

function checked(backing: Backing, depth: number): Checked {
  const what = `The backing file at depth ${depth}`
  const file: BackingFile = isBackingFile(backing) ? backing : { storage: backing }
  const storage = checkedStorage(file.storage, what)
  const dataFile =
    file.dataFile === undefined
      ? undefined
      : dataFileStorage(file.dataFile, `The data file of the backing file at depth ${depth}`, checkedStorage)
  if (file.passphrase !== undefined)
    checkPassphrase(file.passphrase, `The passphrase of the backing file at depth ${depth}`)
  if (file.format !== undefined)
    oneOf(file.format, ['qcow2', 'raw'], `The format of the backing file at depth ${depth}`)
  return { ...file, storage, dataFile }
}

/** True if more is said of a backing file than where its bytes are. */
export function isBackingFile(backing: Backing): backing is BackingFile {
  return typeof backing === 'object' && backing !== null && 'storage' in backing
}
