import type { LongOptions, RequestOptions } from '../base/progress.js'
import type { FilePath } from './paths.js'

/** What a file is. */
export type FileKind = 'file' | 'directory' | 'link' | 'other'

/** What a file system records about a file. What it does not store is absent. Times are in milliseconds since 1970, in UTC. */
export interface FileStat {
  /** `other` is a device, a pipe or a socket. */
  readonly kind: FileKind
  /** The length in bytes; 0 for a directory, the length of the target for a symbolic link. */
  readonly size: number
  /** The last change of the content. */
  readonly modified?: number
  /** The last read. */
  readonly accessed?: number
  /** The last change of the metadata. */
  readonly changed?: number
  /** The creation. */
  readonly created?: number
  /** The permission bits of Unix, with set-user-ID, set-group-ID and sticky. */
  readonly mode?: number
  /** The user that owns the file. */
  readonly uid?: number
  /** The group that owns the file. */
  readonly gid?: number
  /** How many names the file has. */
  readonly links?: number
  /** What all names of one file have in common. */
  readonly inode?: string
  /** The DOS attributes: 1 read-only, 2 hidden, 4 system, 32 archive. */
  readonly attributes?: number
}

/** An entry of a directory. */
export interface FileEntry extends FileStat {
  /** The name. What is not UTF-8 in it is replaced. */
  readonly name: string
  /** The name's bytes, if they are not UTF-8. */
  readonly nameBytes?: Uint8Array
  /** The path, for the other methods. */
  readonly path: FilePath
  /** Why the entry cannot be read, if it is corrupt: then only its kind and name are known. */
  readonly problem?: string
}

/** The partition that a volume is. */
export interface PartitionInfo {
  /** The number, as Linux counts: logical partitions from 5 on. */
  readonly number: number
  /** Two hexadecimal digits in a master boot record, a GUID in a GUID partition table. */
  readonly type: string
  /** The name in a GUID partition table. */
  readonly name?: string
  /** The GUID of the partition itself. */
  readonly uuid?: string
}

/** What is known of a volume before it is mounted. Sizes are in bytes. */
export interface VolumeInfo {
  /** The name for programs: `disk`, `p1`, or the group and name of a logical volume. */
  readonly id: string
  /** The file system or container, such as `ext4`, `ntfs` or `luks2`; `unknown` if it is none that is known. */
  readonly type: string
  /** The same for people, such as `ISO 9660`. */
  readonly title: string
  /** True if files can be read. */
  readonly supported: boolean
  /** True if files can be written: on FAT. All other file systems are read-only. */
  readonly writable: boolean
  /** True if it holds other volumes. */
  readonly container: boolean
  /** True if it is an encrypted container: {@link Volume.unlock} finds the volumes in it. */
  readonly locked: boolean
  /** The name that the user gave it. */
  readonly label?: string
  /** Its identifier, as Linux writes it. */
  readonly uuid?: string
  /** The size of the file system. */
  readonly size: number
  /** The bytes in use, if the file system keeps that sum. {@link Volume.usage} counts for the others. */
  readonly used?: number
  /** The free bytes, under the same condition. */
  readonly free?: number
  /** Where it begins on the disk, if it is one range of it. */
  readonly offset?: number
  /** The length of the partition or logical volume. */
  readonly length: number
  /** Why it cannot be read, or what is wrong with it. */
  readonly problem?: string
  /** The partition, if it is one. */
  readonly partition?: PartitionInfo
}

/** What a scan of a disk finds. */
export interface Scan {
  readonly volumes: readonly VolumeInfo[]
  readonly problems: readonly string[]
}

/** The part of a file that is read, and how. */
export interface FileReadableOptions extends LongOptions {
  /** Where to begin, in bytes. Default: 0. */
  readonly offset?: number | undefined
  /** How many bytes at most. Default: up to the end. */
  readonly length?: number | undefined
}

/** Options of a look-up. */
export interface StatOptions extends RequestOptions {
  /** Whether a symbolic link at the end of the path is followed. Default: true. */
  readonly follow?: boolean | undefined
}

/** The used and free bytes of a volume. */
export interface VolumeUsage {
  /** The bytes in use. */
  readonly used: number
  /** The free bytes. */
  readonly free: number
}

/** The files of a volume, as far as archives are made of them. */
export interface FileTree {
  /** Lists a directory. */
  list(path: FilePath, options?: RequestOptions): AsyncIterable<FileEntry>
  /** Looks a file up. */
  stat(path: FilePath, options?: StatOptions): Promise<FileStat>
  /** Reads a part of a file. */
  read(path: FilePath, offset?: number, length?: number, options?: RequestOptions): Promise<Uint8Array>
  /** Streams a file. */
  readable(path: FilePath, options?: FileReadableOptions): Promise<ReadableStream<Uint8Array>>
  /** Reads the target of a symbolic link. */
  readLink(path: FilePath, options?: RequestOptions): Promise<string>
}
