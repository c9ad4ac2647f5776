/**
 * Reads qcow2 disk images, and does nothing else: a third of the size of `qcow2-web`. It opens images, their snapshots and their
 * backing files over HTTP, files that a user picked, the origin-private file system, or storages of your own.
 *
 * For encrypted images, and for whatever is more than reading, there is `qcow2-web`, which has all of this too.
 *
 * @packageDocumentation
 */

export type { ByteCount } from './base/arguments.js'
export { type Configuration, configure, type FilesOrigins, type Origins } from './base/configuration.js'
export {
  isQcow2Error,
  type MissingFile,
  Qcow2Error,
  type Qcow2ErrorCode,
  type Qcow2ErrorDetails,
  type Qcow2ErrorKind,
} from './base/errors.js'
export type { LongOptions, Progress, RequestOptions } from './base/progress.js'
export type { WorkerSource } from './base/start-worker.js'
export type { AsyncStorage, Storage, StorageOpenOptions, StorageUser, SyncStorage } from './base/storage/contract.js'
export type { LazyModuleSource, ModuleSource } from './base/wasm.js'
export { type Disk, isDisk, type ReadableOptions } from './disk/disk.js'
export type { Extent, MapOptions, RangeOptions } from './disk/extent.js'
export type { Backing, BackingFile, BackingRequest, BackingResolver } from './engine/options/backing.js'
export type { DataFile, DataFileRequest, DataFileResolver } from './engine/options/data-file.js'
export type { CacheSize } from './engine/options/open.js'
export type { Passphrase } from './engine/options/passphrase.js'
export type { Statistics, StorageStatistics } from './engine/statistics.js'
export type * from './engine/values.js'
export type { ImageDisk } from './image/image-disk.js'
export { Qcow2, type ReadOptions } from './image/reader.js'
export type { SnapshotDisk } from './image/snapshot-disk.js'
export type { SnapshotList } from './image/snapshot-list.js'
export { type BlobOptions, blob } from './storage/blob/blob.js'
export type { ReadAheadOptions } from './storage/cache/limits.js'
export type { HttpOptions } from './storage/http/options.js'
export { type HttpReadOptions, http } from './storage/http/reading.js'
export { opfs } from './storage/opfs/reading.js'
export type { Source } from './storage/readable-source.js'
