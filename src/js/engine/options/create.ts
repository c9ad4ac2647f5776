import { type ByteCount, byteCount, flag, integer, oneOf, optionsIn, small, text } from '../../base/arguments.js'
import type { LongOptions } from '../../base/progress.js'
import type { WritableSource } from '../../storage/source.js'
import type { Backing, BackingResolver } from './backing.js'
import type { DataFile, DataFileResolver } from './data-file.js'
import type { EncryptionOptions, HostEncryptOptions } from './encryption.js'
import type { CacheMode, CacheSize, WorkerOptions } from './open.js'

/** What {@link Qcow2.create} makes; the options of `qemu-img create` that concern the format, with its defaults. */
export interface CreateOptions extends WorkerOptions, Pick<LongOptions, 'onProgress'> {
  /** The disk's size in bytes; rounded up to a multiple of 512. */
  readonly size: ByteCount
  /** The version of the format: 3, or 2 for programs before QEMU 1.1, which knows less. Default: 3. */
  readonly version?: 2 | 3 | undefined
  /** The size of a cluster in bytes: a power of two from 512 to 2 MiB. Default: 64 KiB. */
  readonly clusterSize?: number | undefined
  /** The width of a refcount in bits: a power of two up to 64. A refcount counts how often the disk and its snapshots use a cluster. Default: 16. */
  readonly refcountBits?: number | undefined
  /** Writes refcounts late: faster, but the image has to be repaired if it was not closed. Default: false. */
  readonly lazyRefcounts?: boolean | undefined
  /** Divides clusters into 32 subclusters each, which are allocated on their own. Default: false. */
  readonly extendedL2?: boolean | undefined
  /** How clusters are compressed that are written compressed. Default: `zlib`, which is raw deflate, as `qemu-img` calls it. */
  readonly compression?: 'zlib' | 'zstd' | undefined
  /** Makes an overlay: a disk that shows what another file holds, except where it was written. */
  readonly backing?: CreateBacking | undefined
  /**
   * Keeps the guest's data in another file: the storage, that with a name and its kind, or a function that supplies one of them.
   * The function is called first of all, without a name.
   */
  readonly dataFile?: WritableSource | CreateDataFile | DataFileResolver | undefined
  /**
   * What is allocated when the image is made: with `metadata` every cluster, without its data; with `full` every cluster, filled with
   * zeros. Default: `off`, nothing.
   */
  readonly preallocation?: 'off' | 'metadata' | 'full' | undefined
  /** Encrypts the disk. Default: it is not encrypted. */
  readonly encryption?: EncryptionOptions | undefined
  /** Makes the image also in a storage that isn't empty. The old content is lost, also if this fails. Default: false. */
  readonly overwrite?: boolean | undefined
  /** As {@link OpenOptions.detectZeroes}. Default: false. */
  readonly detectZeroes?: boolean | 'unmap' | undefined
  /** When what is written is durable. Default: `writeback`. */
  readonly cache?: CacheMode | undefined
  /** Memory for what was read before, in bytes. */
  readonly cacheSize?: CacheSize | undefined
  /** Aborts the creation, which then rejects with the signal's reason. The storage then holds no image, or not all of one. */
  readonly signal?: AbortSignal | undefined
}

/** The backing file of an image to be created. */
export interface CreateBacking {
  /** The name to record. It is never followed by this package, but it is by QEMU, from the folder that the image is in. */
  readonly name: string
  /** The format to record. */
  readonly format: 'qcow2' | 'raw'
  /**
   * Where its bytes are, or those of its whole chain, as in {@link OpenOptions.backing}. Without it what the backing file
   * holds reads as zeros in this handle, and a write fills up its cluster with zeros: write whole clusters only, or close the
   * image without writing.
   */
  readonly storage?: Backing | readonly Backing[] | BackingResolver | undefined
}

/** The external data file of an image to be created. */
export interface CreateDataFile extends DataFile {
  /** Where the data is to be. */
  readonly storage: WritableSource
}

/** What an image to be created is like, as `src/bridge/host.rs` takes it. */
export interface HostCreateOptions {
  readonly size: bigint
  readonly version: number
  readonly clusterSize: bigint
  readonly refcountBits: number
  readonly lazyRefcounts: boolean
  readonly extendedL2: boolean
  readonly compression: string
  readonly backingName: string | undefined
  readonly backingIsRaw: boolean
  readonly dataFileName: string
  readonly dataFileRaw: boolean
  readonly preallocation: string
  readonly encryption: HostEncryptOptions | undefined
}

/** Checks what kind each option is of; what goes together, the engine knows. The keys come when there is an engine. */
export function hostCreateOptions(options: CreateOptions): HostCreateOptions {
  const backing = options.backing === undefined ? undefined : optionsIn<CreateBacking>(options.backing, 'backing')
  const dataFile = optionsIn(createdDataFile(options), 'dataFile')
  const { version = 3, clusterSize = 64 * 1024, refcountBits = 16 } = options
  return {
    size: BigInt(byteCount(options.size, 'size')),
    version: small(version, 'version'),
    clusterSize: BigInt(integer(clusterSize, 'clusterSize')),
    refcountBits: small(refcountBits, 'refcountBits'),
    lazyRefcounts: flag(options.lazyRefcounts, 'lazyRefcounts'),
    extendedL2: flag(options.extendedL2, 'extendedL2'),
    compression: oneOf(options.compression ?? 'zlib', ['zlib', 'zstd'], 'compression'),
    backingName: backing && text(backing.name, 'backing.name'),
    backingIsRaw: backing !== undefined && oneOf(backing.format, ['qcow2', 'raw'], 'backing.format') === 'raw',
    dataFileName: text(dataFile.name ?? '', 'dataFile.name'),
    dataFileRaw: flag(dataFile.raw, 'dataFile.raw'),
    preallocation: oneOf(options.preallocation ?? 'off', ['off', 'metadata', 'full'], 'preallocation'),
    encryption: undefined,
  }
}

/** The data file of options that went through `createdWithStorages`. */
export function createdDataFile({ dataFile }: CreateOptions): CreateDataFile | undefined {
  return dataFile as CreateDataFile | undefined
}

/** What the image's backing files are, in the form of {@link OpenOptions.backing}. */
export function createdBacking({ backing }: CreateOptions): Backing | readonly Backing[] | BackingResolver | null {
  return backing?.storage ?? null
}
