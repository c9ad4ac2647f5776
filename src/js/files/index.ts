/**
 * Files on disks: finds the volumes of any disk and reads the files in them, in the browser and in Node.
 *
 * Reads ext2, ext3, ext4, FAT, exFAT, NTFS, ISO 9660 with Joliet and Rock Ridge, UDF, btrfs, XFS and HFS+, in partitions and
 * LVM2 volumes, also encrypted ones (LUKS). Writes FAT. Recognises and names many more. Nothing is uploaded, and only what is needed is read.
 *
 * @packageDocumentation
 */

export { type Configuration, configure, type FilesOrigins, type Origins } from '../base/configuration.js'
export type { LongOptions, Progress, RequestOptions } from '../base/progress.js'
export type { WorkerSource } from '../base/start-worker.js'
export type { LazyModuleSource, ModuleSource } from '../base/wasm.js'
export type { ArchiveOptions } from './archive.js'
export type { FileContent } from './change.js'
export type { FilesDisk } from './disk.js'
export { FilesError, type FilesErrorCode } from './errors.js'
export type { FilesOptions } from './host.js'
export type { FilePath } from './paths.js'
export type { FilesStatistics } from './session.js'
export type {
  FileEntry,
  FileKind,
  FileReadableOptions,
  FileStat,
  FileTree,
  PartitionInfo,
  StatOptions,
  VolumeInfo,
  VolumeUsage,
} from './values.js'
export { type DeleteOptions, Volume } from './volume.js'
export { type VolumesOptions, volumes } from './volumes.js'
export type { OnSkip } from './walk.js'
