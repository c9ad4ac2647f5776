/** What crosses between the page and its worker. Only values that structured clone keeps. */

import type {
  ConvertOptions,
  CreateOptions,
  EncryptionInfo,
  Extent,
  ImageInfo,
  Inspection,
  Location,
  Snapshot,
} from 'qcow2-web'
import type { FileEntry, FilePath, VolumeInfo } from 'qcow2-web/files'
import type { FileKind } from './file-kind'
import type { Source } from './source'

/** A file that is open in the worker: the image, its data file, its backing files with theirs. */
export interface OpenFile {
  /** "image", "image-data", "backing-1", "backing-1-data", …: stable, so that an address can name it. */
  key: string
  name: string
  size: number
  role: 'image' | 'data' | 'backing'
  depth: number
  /** Whether its clusters are in a data file, given or not. */
  hasDataFile: boolean
}

/** A disk that can be looked at: the active one, or a snapshot's. */
export interface Disk {
  /** The snapshot's id, or `null` for the active disk. */
  snapshot: string | null
  size: number
}

export interface OpenedImage {
  /** Grows with each open, so that the page can distinguish a new image from an old one. */
  generation: number
  name: string
  /** Where the browser keeps its file, if it does. */
  stored: string | null
  info: ImageInfo
  files: OpenFile[]
  snapshots: Snapshot[]
  disk: Disk
  /** The names of the files that the image wants and was opened without. */
  without: string[]
  /**
   * Where its changes go, if it can be changed: to the worker's memory until they are saved, or to the file itself, in place.
   * `null` where it is open for reading only.
   */
  editing: 'memory' | 'file' | null
  /** Why it can't be edited, as a sentence; `null` where it can be. */
  notEditable: string | null
}

/** A raw disk: each byte of the file is a byte of the disk. */
export interface OpenedRaw {
  /** As that of an image. */
  generation: number
  name: string
  size: number
  /** What the file is, in a few words. */
  kind: string
  disk: Disk
}

/** A change of the snapshots. */
export type SnapshotChange =
  | { kind: 'create'; name: string }
  | { kind: 'apply' | 'delete'; id: string }
  | { kind: 'rename'; id: string; name: string }

/** A change of the key slots. `known` is a passphrase that opens one of them; with `change` it is the one to replace. */
export type KeySlotChange =
  | { kind: 'add' | 'change'; known: string; passphrase: string }
  | { kind: 'erase'; slot: number }

/** What a disk, or a part of it, is converted to. */
export type Conversion = Pick<
  ConvertOptions,
  'format' | 'compressed' | 'compression' | 'acceptMissing' | 'salvage' | 'range'
>

/** Bytes of a disk, from one offset to before another. */
export interface Part {
  start: number
  end: number
}

/** Where a converted file goes: to the browser's storage, or to a file that the person chose. */
export type ConversionTarget = { path: string } | { handle: FileSystemFileHandle }

/** How far a long operation has come. */
export interface Progress {
  done: number
  total: number
}

export type OnProgress = (progress: Progress) => void

/** How a long operation is cancelled, and reports its progress. */
export interface Watch {
  signal: AbortSignal
  onProgress: OnProgress
}

/** An image that is to be made. */
export interface NewImage {
  name: string
  options: Pick<CreateOptions, 'size' | 'version' | 'clusterSize' | 'refcountBits' | 'extendedL2' | 'compression'> & {
    /** Encrypts the image by LUKS. */
    encryption?: { passphrase: string } | undefined
  }
  /** What the new disk is to begin as: its name is recorded as that of the backing file. */
  base: File | null
}

/** An error of the engine, with all of it: what crosses as an Error keeps its message only. */
export interface Failure {
  code: string
  message: string
  offset?: number
  depth?: number
}

export type OpenOutcome =
  | { kind: 'opened'; image: OpenedImage }
  | { kind: 'raw'; raw: OpenedRaw }
  | ({
      kind: 'refused'
      name: string
      size: number
      failure: Failure
      inspection: Inspection | null
      /** What the file is instead of an image; `null` if that is not known. */
      fileKind: FileKind | null
    } & Origin)
  | { kind: 'cancelled' }

/** Where a file is that the person did not give: on a server, or in the browser's storage. */
interface Origin {
  url: string | null
  stored: string | null
}

/** How an image is repaired. */
export interface RepairHow {
  /** Repair also what can't be repaired without losing something. */
  acceptLoss: boolean
  /** In the file itself, which the browser keeps; else in memory. Of no account where the image is being changed. */
  inFile: boolean
}

/** A file that the image names and that was not given yet. */
export interface MissingFile {
  role: 'backing' | 'data'
  name: string
  format: string | null
  /** 0 is the opened image, 1 its backing file, and so on. For a backing file: its own depth. */
  depth: number
  /** The file that names it. */
  wantedBy: string
  /** Where it can be read from, if the person agrees: the address that is recorded, or one beside the file that names it. */
  address: string | null
}

/** An encrypted file of the chain whose passphrase was not given yet. */
export interface MissingPassphrase {
  role: 'passphrase'
  /** 0 is the opened image, 1 its backing file, and so on. */
  depth: number
  /** The file's name. */
  wantedBy: string
  /** How it is encrypted, if that is known. */
  encryption: EncryptionInfo | undefined
  /** The previous passphrase was wrong. */
  wrong: boolean
}

/** A backing file that was given and may not be the one that the image records. */
export interface ChangedBase {
  role: 'changed'
  /** The name of the file that was given. */
  name: string
  /** What differs: its name; its disk, which is larger than the image's; or its content, as far as that is recorded. */
  difference: 'name' | 'size' | 'content'
  /** What the image has recorded: a name, and the state that the file had. */
  recorded: string
  /** 1 is the image's backing file, and so on. */
  depth: number
  /** The file that names it. */
  wantedBy: string
}

export type Missing = MissingFile | MissingPassphrase | ChangedBase

export type MissingAnswer =
  | { kind: 'file'; file: Source }
  | { kind: 'passphrase'; passphrase: string }
  | { kind: 'without' }
  | { kind: 'accept' }
  | { kind: 'cancel' }

export type Ask = (missing: Missing) => Promise<MissingAnswer>

/** What a survey finds in each of its buckets; the order is that of its columns. */
export const KINDS = ['unallocated', 'zero', 'data', 'compressed', 'backing1', 'backing2', 'backing3'] as const
export type Kind = (typeof KINDS)[number]

/** How many bytes of each kind are in each bucket: `bytes[bucket * KINDS.length + kind]`. */
export interface Survey {
  start: number
  bucketSize: number
  bytes: Float64Array
  /** Up to where the disk has been surveyed. */
  done: number
  end: number
}

export interface SurveyRequest {
  snapshot: string | null
  start: number
  end: number
  bucketSize: number
}

/** One cluster in full: the way through the image's own tables, and the run that answers a read there. */
export interface Explained {
  /** The byte that is explained: the first of the range that is stored, else its first. */
  offset: number
  extent: Extent
  location: Location
}

/** Where bytes come from: a disk, or the raw content of one of the files. */
export type ByteSource = { of: 'disk'; snapshot: string | null } | { of: 'file'; key: string }

/** What a search of bytes found. */
export interface Found {
  match: { offset: bigint; length: number } | null
  /** True if it went on from the other end. */
  wrapped: boolean
  /** How many bytes could not be read, and were not searched. */
  unreadable: number
}

export const HASH_NAMES = ['SHA-256', 'SHA-1', 'MD5', 'CRC32'] as const
export type HashName = (typeof HASH_NAMES)[number]

/** In hexadecimal. */
export type Hashes = Partial<Record<HashName, string>>

/** What is hashed: a range of bytes, or a file of a volume. */
export type Hashable =
  | { of: 'bytes'; source: ByteSource; start: bigint; end: bigint }
  | { of: 'file'; at: VolumeAt; path: FilePath }

/** How a file is opened. */
export interface OpenHow {
  /** The bytes of any file as a disk. */
  asRaw: boolean
  /** Files that were given with it: they are found by the names that the images record. */
  beside: File[]
}

/** The volumes of a disk. */
export interface VolumeList {
  volumes: VolumeInfo[]
  /** What is wrong with the layout of the disk, as sentences. */
  problems: string[]
  /** The ids of the containers that were unlocked. What is in them is among the volumes. */
  unlocked: string[]
}

/** A change of the files of a volume. */
export type FilesChange =
  | { kind: 'write'; path: FilePath; content: Blob }
  | { kind: 'createDirectory'; path: FilePath }
  /** Directories are deleted with all that is in them. */
  | { kind: 'delete'; paths: FilePath[] }

/** A volume of a disk, by its id. */
export interface VolumeAt {
  /** The snapshot's id, or `null` for the active disk. */
  snapshot: string | null
  volume: string
}

/** Receives entries as they are found. The next ones are sent when it has returned. */
export type OnEntries = (entries: FileEntry[]) => void | Promise<void>

/** What is known of a file at one time. */
export interface FileState {
  size: number
  modified: number | undefined
}

/** A file that differs between two states of a disk. */
export interface FileChange {
  kind: 'added' | 'changed' | 'removed' | 'moved'
  /** For a changed file: whether its bytes differ, or only its times, owner or permissions. */
  what: 'content' | 'metadata'
  volume: string
  path: FilePath
  /** The old path of a moved file. */
  from?: FilePath
  isDirectory: boolean
  inode: string | undefined
  before?: FileState
  after?: FileState
}

export interface ChangesSummary {
  /** How many entries of directories were compared. */
  compared: number
  /** How many directories could not be read. */
  unreadable: number
  /** What cannot be said by files, as sentences. */
  notes: string[]
}

/** Receives changes as they are found. */
export type OnChanges = (changes: FileChange[]) => void | Promise<void>

/** A file or an archive that was made of a volume. */
export interface Extracted {
  blob: Blob
  /** Why files were left out, a sentence for each. */
  skipped: string[]
}
