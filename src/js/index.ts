/**
 * The qcow2 disk image in the browser: opens, reads, creates and writes what QEMU does, over any storage, with nothing uploaded.
 *
 * @packageDocumentation
 */

export { type AmendBacking, type AmendOptions, amend } from './amend.js'
export type { Backing, BackingFile, BackingRequest, BackingResolver } from './backing.js'
export {
  type BestStorage,
  bestStorage,
  type Capabilities,
  capabilities,
  type Estimate,
  estimate,
  persist,
} from './browser.js'
export { type CheckOptions, type CheckReport, check, type Finding } from './check.js'
export type { ByteCount } from './checks.js'
export { type ConvertOptions, convert } from './convert.js'
export type { CopyUpOptions } from './copy-up.js'
export type { CreateBacking, CreateDataFile, CreateOptions } from './create.js'
export type { DiffExtent } from './diff.js'
export type { EncryptionOptions, KeyOptions, LegacyAesOptions, LuksHash, LuksOptions } from './encryption.js'
export { isQcow2Error, type MissingFile, Qcow2Error, type Qcow2ErrorCode, type Qcow2ErrorDetails } from './errors.js'
export { Qcow2 } from './image.js'
export { inspect } from './inspect.js'
export type { KeySlotOptions, KeySlots } from './key-slots.js'
export type { Extent, MapOptions } from './map.js'
export type {
  CacheMode,
  CacheSize,
  OpenOptions,
  ReadableOptions,
  RequestOptions,
  ResizeOptions,
  WorkerOptions,
  WriteZeroesOptions,
} from './options.js'
export { type OverlayOptions, overlay } from './overlay.js'
export type { Passphrase, PassphraseRequest, PassphraseResolver } from './passphrase.js'
export { type RepairOptions, type RepairReport, repair } from './repair.js'
export type { SnapshotOptions, Snapshots } from './snapshots.js'
export { type BlobOptions, blob } from './storage/blob.js'
export { type Draft, draft } from './storage/draft.js'
export { type FileHandleOptions, fileHandle } from './storage/file-handle.js'
export { type Http, type HttpOptions, http } from './storage/http.js'
export { type Idb, type IdbOptions, idb } from './storage/idb.js'
export type { ClaimOptions } from './storage/lock.js'
export { type Memory, type MemoryOptions, memory } from './storage/memory.js'
export { type NodeFileOptions, nodeFile } from './storage/node-file.js'
export { type Opfs, type OpfsOptions, opfs } from './storage/opfs.js'
export type { OpfsEntry, OpfsImportOptions, TransferOptions } from './storage/opfs-files.js'
export { type PrefetchList, type PrefetchOptions, prefetched, type Recorded, recorded } from './storage/prefetch.js'
export type { KeptFile } from './storage/range-cache.js'
export { type ReadAheadOptions, readAhead } from './storage/read-ahead.js'
export type {
  AsyncStorage,
  Storage,
  StorageOpenOptions,
  SyncStorage,
  WritableAsyncStorage,
  WritableStorage,
  WritableSyncStorage,
} from './storage/types.js'
export type { Progress } from './stream.js'
export type * from './types.js'
export { type InitOptions, init, type ModuleSource } from './wasm.js'
export type { LongOptions } from './watch.js'
