import { ask, exact, isStorage, isSync, type Storage } from '../../base/storage/contract.js'
import type { Source } from '../../storage/readable-source.js'

/** An external data file. Opening looks at its storage only; creating records the rest. */
export interface DataFile {
  /** Where its bytes are. */
  readonly storage: Source
  /** The name that the image records. Default: none; QEMU then needs it on its command line. */
  readonly name?: string | undefined
  /** Whether the file is a raw image of the disk, to be read without the qcow2 image. Default: false. */
  readonly raw?: boolean | undefined
}

/** An external data file that an image needs. */
export interface DataFileRequest {
  /** The recorded name, often a path on the machine that made the image; `undefined` if none is recorded. */
  readonly name: string | undefined
}

/** Supplies an image's external data file. Without an answer, the call fails with code `MISSING_DATA_FILE`. */
export type DataFileResolver = (
  request: DataFileRequest,
) => Source | DataFile | Promise<Source | DataFile | null | undefined> | null | undefined

/** A data file in any form. */
export type AnyDataFile = Source | DataFile | DataFileResolver

/** Makes a storage of a source, which the second parameter names in the error. */
export type ToStorage = (source: unknown, what: string) => Storage

/** A data file as a storage, which `storageOf` makes, or a function that supplies one. */
export function dataFileStorage(dataFile: AnyDataFile, what: string, storageOf: ToStorage): Storage | DataFileResolver {
  if (!isResolver(dataFile)) return storageOf(isDataFile(dataFile) ? dataFile.storage : dataFile, what)
  return async (request) => {
    const found = await dataFile(request)
    if (found === null || found === undefined) return found
    return storageOf(isDataFile(found) ? found.storage : found, what)
  }
}

export function isDataFile(file: unknown): file is DataFile {
  return typeof file === 'object' && file !== null && 'storage' in file
}

export function isResolver<F>(value: F): value is Extract<F, (...args: never) => unknown> {
  return typeof value === 'function' && !isStorage(value)
}

const MAGIC = 0x514649fb
const VERSION_3_HEADER = 104
const EXTERNAL_DATA_FILE = 4n
const DATA_FILE_NAME = 0x44415441
/** The extensions are in the first cluster. An image with smaller clusters ends them by then. */
const MOST_HEADER = 2 << 20

/** Returns what an image records of its external data file; `undefined` if it has none. The storage must be open. */
export async function recordedDataFile(storage: Storage): Promise<DataFileRequest | undefined> {
  const size = await storage.size()
  if (size < VERSION_3_HEADER) return undefined
  const header = await viewOf(storage, 0, VERSION_3_HEADER)
  const [magic, version, incompatible] = [header.getUint32(0), header.getUint32(4), header.getBigUint64(72)]
  if (magic !== MAGIC || version < 3 || (incompatible & EXTERNAL_DATA_FILE) === 0n) return undefined
  const end = Math.min(size, MOST_HEADER)
  for (let at = header.getUint32(100); at + 8 <= end; ) {
    const extension = await viewOf(storage, at, 8)
    const [type, length] = [extension.getUint32(0), extension.getUint32(4)]
    if (type === 0 || at + 8 + length > end) break
    if (type === DATA_FILE_NAME) {
      return { name: new TextDecoder().decode(await viewOf(storage, at + 8, length)) }
    }
    at += 8 + Math.ceil(length / 8) * 8
  }
  return { name: undefined }
}

async function viewOf(storage: Storage, offset: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length)
  if (isSync(storage)) storage.readSync(offset, bytes)
  else bytes.set(exact(await ask(storage, offset, length, new AbortController()), offset, length))
  return new DataView(bytes.buffer)
}
