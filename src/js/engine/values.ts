import type { Qcow2ErrorCode } from '../base/errors.js'

/** What the header and the tables of an image record. The names are close to those of `qemu-img info`. */
export interface ImageInfo {
  /** The disk's size in bytes. */
  readonly virtualSize: number
  /** The length of the image file in bytes. */
  readonly fileSize: number
  /**
   * How many bytes the image file takes where it is stored: less than its length if it has holes. The length where the storage does
   * not know, as in browsers.
   */
  readonly allocatedSize: number
  /** The size of a cluster in bytes. */
  readonly clusterSize: number
  /** The version of the format: 2 or 3. */
  readonly version: number
  /** The version as `qemu-img` names it: `0.10` or `1.1`. */
  readonly compat: string
  /** How compressed clusters are compressed: `zlib` (raw deflate) or `zstd`. */
  readonly compressionType: string
  /** How many bits a refcount has. */
  readonly refcountBits: number
  /** True if refcounts are written late, and rebuilt after a crash. */
  readonly lazyRefcounts: boolean
  /** True if clusters have 32 subclusters each. */
  readonly extendedL2: boolean
  /** True if the image was not closed properly, so that its refcounts may be wrong. Reading is not affected. */
  readonly dirty: boolean
  /** True if a program marked the image as corrupt: then it can't be written before it is repaired. */
  readonly corrupt: boolean
  /** How the guest's data is encrypted; `undefined` where it is not. */
  readonly encryption: EncryptionInfo | undefined
  /** The recorded name of the backing file. */
  readonly backingFile: string | undefined
  /** The recorded format of the backing file. */
  readonly backingFormat: string | undefined
  /** True if the guest's data is in another file. */
  readonly externalDataFile: boolean
  /** The recorded name of that file. */
  readonly dataFile: string | undefined
  /** True if the external data file can be used as a raw image by itself. */
  readonly dataFileRaw: boolean
  /** The dirty bitmaps that are stored in the image; none if the image marks them as out of date. */
  readonly bitmaps: readonly BitmapInfo[]
  /** The feature bits that are set. */
  readonly features: readonly FeatureBit[]
  /** Header extensions of types that are not known. */
  readonly unknownExtensions: readonly UnknownExtension[]
  /**
   * How many bytes of the disk's tables and clusters are past the end of the file, and so read as zeros: more than 0
   * where the file is cut off. Where there are many tables, at least so many.
   */
  readonly missing: number
  /**
   * What is wrong with the image although its disk can be read, such as damage to its snapshot table or its bitmaps. Such an
   * image is not opened for writing before it is repaired.
   */
  readonly problems: readonly Problem[]
  /** The files of the backing chain: the image itself first. */
  readonly chain: readonly ChainLink[]
}

/** How an image is encrypted; nothing of it is secret. */
export type EncryptionInfo = LegacyAesInfo | LuksInfo

/** QEMU's legacy method, AES-128 in CBC mode: the passphrase is the key, and a wrong one is not noticed. */
export interface LegacyAesInfo {
  /** The method. */
  readonly format: 'aes'
}

/** The fields of a LUKS header, by their names there. */
export interface LuksInfo {
  /** The method. */
  readonly format: 'luks'
  /** The cipher, such as `aes`. */
  readonly cipher: string
  /** Its mode and what each sector begins from, such as `xts-plain64`. */
  readonly mode: string
  /** The hash by which keys are derived, such as `sha256`. */
  readonly hash: string
  /** The length of the key in bits; for XTS, of both keys. */
  readonly keyBits: number
  /** The identity of the header. */
  readonly uuid: string
  /** The iterations of the key's own digest. */
  readonly digestIterations: number
  /** The eight key slots. */
  readonly keySlots: readonly KeySlot[]
}

/** A key slot of LUKS. */
export interface KeySlot {
  /** True if a passphrase opens it. */
  readonly active: boolean
  /** How many iterations it takes to try a passphrase. */
  readonly iterations: number
  /** Where the key's material is, in bytes from the beginning of the LUKS header. */
  readonly offset: number
  /** Into how many stripes the key is split. */
  readonly stripes: number
}

/** A file of a backing chain. */
export interface ChainLink {
  /** Its format: `qcow2` or `raw`. */
  readonly format: string
  /** The size of its disk in bytes. */
  readonly virtualSize: number
  /** The length of the file in bytes. */
  readonly fileSize: number
}

/** A dirty bitmap: which parts of the disk were written since some time. */
export interface BitmapInfo {
  /** Its name, unique within the image. */
  readonly name: string
  /** How many bytes of the disk a bit stands for: a power of two from 512. */
  readonly granularity: number
  /** True if it was not saved properly, so that its contents can't be trusted. */
  readonly inUse: boolean
  /** True if every program that writes to the image keeps the bitmap up to date. */
  readonly auto: boolean
}

/** A header extension of a type that is not known. */
export interface UnknownExtension {
  /** Its type, a 32-bit number. */
  readonly type: number
  /** The length of its data in bytes. */
  readonly length: number
}

/** A feature bit that is set. */
export interface FeatureBit {
  /** What a program must do that doesn't know it: `incompatible`, refuse the image; `compatible`, nothing; `autoclear`, clear it when it writes. */
  readonly kind: 'incompatible' | 'compatible' | 'autoclear'
  /** The bit's number: 0 to 63. */
  readonly bit: number
  /** Its name, by the image's own table or by the format. */
  readonly name: string | undefined
}

/** A snapshot, as the image's table records it. */
export interface Snapshot {
  /** Its id: unique within the image, a decimal number where QEMU made it. */
  readonly id: string
  /** The name that its maker gave it. */
  readonly name: string
  /** When it was created, in seconds since 1970. */
  readonly dateSec: number
  /** The nanoseconds of that second. */
  readonly dateNsec: number
  /** How long the machine had run, in nanoseconds. */
  readonly vmClockNsec: bigint
  /** The length of the machine's saved state in bytes; 0 where there is none. */
  readonly vmStateSize: number
  /** The disk's size in bytes when the snapshot was created; an old image may not record it. */
  readonly diskSize: number | undefined
  /** How many instructions the machine had run, where it counted them. */
  readonly icount: bigint | undefined
  /** Where its L1 table begins in the file, in bytes. */
  readonly l1TableOffset: number
  /** How many entries its L1 table has. */
  readonly l1Entries: number
}

/** How an offset of the disk maps to an offset in the file. All offsets are in bytes. */
export interface Location {
  /** Which entry of the L1 table. */
  readonly l1Index: number
  /** Where that entry is; `undefined` past the end of the table. */
  readonly l1EntryOffset: number | undefined
  /** That entry, as stored. */
  readonly l1Entry: bigint | undefined
  /** The L2 table that it points to; `undefined` where nothing of its range is mapped. */
  readonly l2TableOffset: number | undefined
  /** Which entry of the L2 table. */
  readonly l2Index: number
  /** Where that entry is. */
  readonly l2EntryOffset: number | undefined
  /** That entry's first word, as stored. */
  readonly l2Entry: bigint | undefined
  /** Its subcluster bitmap, where the image has extended L2 entries. */
  readonly l2Bitmap: bigint | undefined
  /** What the byte is, as far as the image itself is concerned: `unallocated` is the backing file's, or else zero. */
  readonly kind: 'unallocated' | 'zero' | 'data' | 'compressed'
  /** Where the byte is in the file that holds the data; for a compressed one, where its cluster's stream begins. */
  readonly hostOffset: number | undefined
  /** The length of that stream in bytes, rounded up, for a compressed byte. */
  readonly compressedLength: number | undefined
}

/** What {@link inspect} found. What could not be read is missing, and `problems` explains why. */
export interface Inspection {
  /** The length of the file in bytes. */
  readonly fileSize: number
  /** What the file seems to be: `qcow2`, or in words another format or kind of file. */
  readonly format: string
  /** The header's fields, unchecked. */
  readonly header: RawHeader | undefined
  /** The feature bits that are set. */
  readonly features: readonly FeatureBit[]
  /** The header extensions. */
  readonly extensions: readonly Extension[]
  /** How the guest's data is encrypted, if it is and the header is sound. */
  readonly encryption: EncryptionInfo | undefined
  /** The recorded name of the backing file, if the header is sound. */
  readonly backingFile: string | undefined
  /** The recorded format of the backing file. */
  readonly backingFormat: string | undefined
  /** The recorded name of the external data file. */
  readonly dataFile: string | undefined
  /** The snapshots. */
  readonly snapshots: readonly Snapshot[]
  /** As `missing` of {@link ImageInfo}, where the header is sound enough and the data is in this file; else 0. */
  readonly missing: number
  /**
   * Everything that is wrong with the header, and keeps the image from being opened for writing. Where the disk doesn't need
   * what is wrong, the image opens for reading all the same.
   */
  readonly problems: readonly Problem[]
}

/** Something that is wrong with an image. */
export interface Problem {
  /** What it is, as a word for programs. */
  readonly code: Qcow2ErrorCode
  /** What it is, as a sentence. */
  readonly message: string
  /** Where in the file, in bytes. */
  readonly offset: number | undefined
}

/** A header extension. */
export interface Extension {
  /** Its type, a 32-bit number. */
  readonly type: number
  /** Where its data begins in the file, in bytes. */
  readonly offset: number
  /** Its data. */
  readonly data: Uint8Array<ArrayBuffer>
}

/** The fields of the header as they are in the file; each is documented in QEMU's specification under its name there. */
export interface RawHeader {
  /** `version` */
  readonly version: number
  /** `backing_file_offset` */
  readonly backingFileOffset: bigint
  /** `backing_file_size` */
  readonly backingFileSize: number
  /** `cluster_bits` */
  readonly clusterBits: number
  /** `size` */
  readonly size: bigint
  /** `crypt_method` */
  readonly cryptMethod: number
  /** `l1_size` */
  readonly l1Size: number
  /** `l1_table_offset` */
  readonly l1TableOffset: bigint
  /** `refcount_table_offset` */
  readonly refcountTableOffset: bigint
  /** `refcount_table_clusters` */
  readonly refcountTableClusters: number
  /** `nb_snapshots` */
  readonly nbSnapshots: number
  /** `snapshots_offset` */
  readonly snapshotsOffset: bigint
  /** `incompatible_features` */
  readonly incompatibleFeatures: bigint
  /** `compatible_features` */
  readonly compatibleFeatures: bigint
  /** `autoclear_features` */
  readonly autoclearFeatures: bigint
  /** `refcount_order` */
  readonly refcountOrder: number
  /** `header_length` */
  readonly headerLength: number
  /** `compression_type` */
  readonly compressionType: number
}
