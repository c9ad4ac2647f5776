/**
 * The qcow2 disk image in the browser: opens, reads, creates and writes what QEMU does, over any storage, with nothing uploaded.
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
export type {
  AsyncStorage,
  Storage,
  StorageOpenOptions,
  StorageUser,
  SyncStorage,
  WritableAsyncStorage,
  WritableStorage,
  WritableSyncStorage,
} from './base/storage/contract.js'
export type { LazyModuleSource, ModuleSource } from './base/wasm.js'
export { type CommitOptions, commit, type WritableBase } from './convert/commit.js'
export { type CompareOptions, type Comparison, compare, type MappedDisk } from './convert/compare.js'
export { type Conversion, type ConvertOptions, type ConvertSource, convert } from './convert/convert.js'
export type { UnreadableRange } from './convert/losses.js'
export { type Measurement, type MeasureOptions, measure } from './convert/measure.js'
export { type RebaseOptions, rebase } from './convert/rebase.js'
export {
  type Disk,
  isDisk,
  type ReadableOptions,
  type WritableDisk,
  type WritableOptions,
  type WriteZeroesOptions,
} from './disk/disk.js'
export type { Extent, MapOptions, RangeOptions } from './disk/extent.js'
export { type InitOptions, init } from './engine/modules.js'
export type { AmendOptions } from './engine/options/amend.js'
export type { Backing, BackingFile, BackingRequest, BackingResolver } from './engine/options/backing.js'
export type { CreateBacking, CreateDataFile, CreateOptions } from './engine/options/create.js'
export type { DataFile, DataFileRequest, DataFileResolver } from './engine/options/data-file.js'
export type {
  EncryptionOptions,
  KeyOptions,
  LegacyAesOptions,
  LuksHash,
  LuksOptions,
} from './engine/options/encryption.js'
export type {
  CacheMode,
  CacheSize,
  OpenOptions,
  ResizeOptions,
  WorkerOptions,
} from './engine/options/open.js'
export type { Passphrase, PassphraseRequest, PassphraseResolver } from './engine/options/passphrase.js'
export type { SnapshotOptions, VmStateSource } from './engine/options/snapshot.js'
export type { CheckOptions, CheckReport, Finding, RepairReport } from './engine/reports.js'
export type { Statistics, StorageStatistics } from './engine/statistics.js'
export type * from './engine/values.js'
export { amend } from './file/amend.js'
export { check } from './file/check.js'
export { inspect } from './file/inspect.js'
export { type RepairOptions, repair } from './file/repair.js'
export { type BaseOptions, sameBase } from './image/base.js'
export type { BitmapExtent, BitmapOptions, BitmapSource, Bitmaps } from './image/bitmaps.js'
export { type Compactable, type CompactOptions, compact, reclaimable } from './image/compact.js'
export type { CopyUpOptions } from './image/copy-up.js'
export type { DiffExtent } from './image/diff.js'
export type { DiskChangeEvent, DiskErrorEvent, Qcow2EventMap } from './image/events.js'
export type { ImageDisk } from './image/image-disk.js'
export type { KeySlotOptions, KeySlots, KeySlotsOfPassphrase, NewKeySlotOptions } from './image/key-slots.js'
export { type OpenDiskOptions, openDisk, type RawOptions, raw } from './image/open-disk.js'
export { type OverlayOptions, overlay } from './image/overlay.js'
export { Qcow2 } from './image/qcow2.js'
export type { SnapshotDisk } from './image/snapshot-disk.js'
export type { Snapshots } from './image/snapshots.js'
export { type BlobOptions, blob } from './storage/blob/blob.js'
export { type FileHandleOptions, fileHandle } from './storage/blob/file-handle.js'
export {
  type BestStorage,
  bestStorage,
  type Capabilities,
  capabilities,
  type Estimate,
  estimate,
  persist,
} from './storage/browser.js'
export { type Draft, draft } from './storage/cache/draft.js'
export type { ReadAheadOptions } from './storage/cache/limits.js'
export {
  type PrefetchList,
  type PrefetchOptions,
  prefetched,
  type Recorded,
  recorded,
} from './storage/cache/prefetch.js'
export type { KeptFile } from './storage/cache/range-cache.js'
export { readAhead } from './storage/cache/read-ahead.js'
export { type Http, type HttpOptions, http } from './storage/http/http.js'
export { type Idb, type IdbOptions, idb } from './storage/idb/idb.js'
export { sameFile } from './storage/identity.js'
export type { ClaimOptions } from './storage/lock.js'
export { type Memory, memory } from './storage/memory/memory.js'
export { type NodeFileOptions, nodeFile } from './storage/node/node-file.js'
export type { OpfsEntry, OpfsImportOptions } from './storage/opfs/files.js'
export { type Opfs, type OpfsOptions, opfs } from './storage/opfs/opfs.js'
export type { Source, WritableSource } from './storage/source.js'
