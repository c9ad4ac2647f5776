import { type ByteCount, flag, integer, signalIn, watchIn } from '../base/arguments.js'
import type { LongOptions, RequestOptions } from '../base/progress.js'
import { readStream } from '../disk/stream.js'
import { type ArchiveOptions, tar, zip } from './archive.js'
import { valid } from './arguments.js'
import { changeVolume, type FileContent } from './change.js'
import { FilesError } from './errors.js'
import { Contents } from './extents.js'
import { type FilePath, joinPath, lastName, pathBytes, shownPath } from './paths.js'
import type { FilesStatistics, Session } from './session.js'
import { unlockContainer } from './unlock.js'
import type {
  FileEntry,
  FileReadableOptions,
  FileStat,
  FileTree,
  PartitionInfo,
  StatOptions,
  VolumeInfo,
  VolumeUsage,
} from './values.js'
import { walk } from './walk.js'

const firstEntries = 100
const moreEntries = 1000
const chunkSize = 1 << 20
/** More bytes of a file are read from where they are on the disk. What is small, the parser reads in one call. */
const smallRead = 256 << 10

/** Options of {@link Volume.delete}. */
export interface DeleteOptions extends RequestOptions {
  /** Whether a directory is deleted with all that is in it. Default: false. */
  readonly recursive?: boolean | undefined
}

/**
 * A volume of a disk, and the files in it. Read-only, except on FAT.
 *
 * It is mounted by the first call. Calls are carried out one after another. Everything may reject with a {@link FilesError},
 * with what the disk throws, and with the reason of the signal.
 *
 * @example
 * ```ts
 * for (const volume of (await volumes(disk)).filter(({ supported }) => supported)) {
 *   for await (const { name, size } of volume.list('/')) console.log(name, size)
 *   await volume.close()
 * }
 * ```
 */
export class Volume implements VolumeInfo, FileTree {
  readonly id: string
  readonly type: string
  readonly title: string
  readonly supported: boolean
  readonly writable: boolean
  readonly container: boolean
  readonly locked: boolean
  declare readonly label?: string
  declare readonly uuid?: string
  readonly size: number
  declare readonly used?: number
  declare readonly free?: number
  declare readonly offset?: number
  readonly length: number
  declare readonly problem?: string
  declare readonly partition?: PartitionInfo
  readonly #session: Session

  /** @internal */
  constructor(info: VolumeInfo, session: Session) {
    this.id = info.id
    this.type = info.type
    this.title = info.title
    this.supported = info.supported
    this.writable = info.writable
    this.container = info.container
    this.locked = info.locked
    this.size = info.size
    this.length = info.length
    Object.assign(this, info)
    this.writable = info.writable && session.writable
    this.#session = session
  }

  /**
   * Lists a directory, in the order of the disk. Entries arrive while the rest is read.
   *
   * @throws {@link FilesError} `NOT_FOUND`, `NOT_A_DIRECTORY`, `LIMIT` beyond 1,048,576 entries, and others.
   * @example
   * ```ts
   * for await (const entry of volume.list('/home')) console.log(entry.name, entry.kind, entry.size)
   * ```
   */
  async *list(path: FilePath = '/', options: RequestOptions = {}): AsyncIterable<FileEntry> {
    const signal = valid(() => signalIn(options))
    const listing = await this.#session.call<number>({ method: 'list', args: [this.#bytes(path)] }, signal)
    const generation = this.#session.generation
    try {
      for (let count = firstEntries; ; count = moreEntries) {
        if (generation !== this.#session.generation) throw new FilesError('CRASHED', 'The listing was interrupted.')
        const args = [listing, count] as const
        const found = await this.#session.call<Omit<FileEntry, 'path'>[]>({ method: 'next', args }, signal)
        if (found.length === 0) return
        for (const entry of found) {
          const name = this.#decomposes ? entry.name.normalize('NFC') : entry.name
          yield { ...entry, name, path: joinPath(path, name, entry.nameBytes) }
        }
      }
    } finally {
      if (generation === this.#session.generation) {
        await this.#session.call({ method: 'end', args: [listing] }).catch(() => {})
      }
    }
  }

  /**
   * Looks a file up.
   *
   * @throws {@link FilesError} `NOT_FOUND`, `NOT_A_DIRECTORY` and others.
   * @example
   * ```ts
   * const { size, modified } = await volume.stat('/var/log/syslog')
   * ```
   */
  async stat(path: FilePath, options: StatOptions = {}): Promise<FileStat> {
    const signal = valid(() => signalIn(options))
    const follow = valid(() => flag(options.follow, 'follow', true))
    return this.#session.call({ method: 'stat', args: [this.#bytes(path), follow] }, signal)
  }

  /**
   * Reads a file, or a part of it, into one array.
   *
   * @param offset where to begin, in bytes.
   * @param length how many bytes at most. Fewer are returned at the file's end.
   * @throws {@link FilesError} `NOT_FOUND`, `IS_A_DIRECTORY`, `NOT_A_FILE`, `UNSUPPORTED`, `ENCRYPTED` and others.
   * @example
   * ```ts
   * const first = await volume.read('/bin/sh', 0, 4096)
   * ```
   */
  async read(path: FilePath, offset = 0, length?: number, options: RequestOptions = {}): Promise<Uint8Array> {
    const signal = valid(() => signalIn(options))
    checkRange(offset, length)
    const bytes = this.#bytes(path)
    const { size } = await this.stat(path, { signal })
    const wanted = Math.max(0, Math.min(length ?? size, size - offset))
    if (wanted <= smallRead) return this.#read(bytes, offset, wanted, signal)
    return this.#contents(path, offset + wanted).read(offset, wanted, signal)
  }

  /**
   * Streams a file, or a part of it. The next part is read while one is consumed.
   *
   * @throws {@link FilesError} as {@link Volume.read}; later errors end the stream.
   * @example
   * ```ts
   * const file = await volume.readable('/boot/vmlinuz', { onProgress: ({ done, total }) => show(done / total) })
   * await file.pipeTo(destination)
   * ```
   */
  async readable(path: FilePath, options: FileReadableOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const { signal, onProgress } = valid(() => watchIn(options))
    const { offset = 0, length } = options
    checkRange(offset, length)
    const bytes = this.#bytes(path)
    const { kind, size } = await this.stat(path, { signal })
    if (kind !== 'file') {
      throw new FilesError(kind === 'directory' ? 'IS_A_DIRECTORY' : 'NOT_A_FILE', `${shownPath(path)} is not a file.`)
    }
    const range = { offset, length: Math.max(0, Math.min(length ?? size, size - offset)) }
    const watched = { chunkSize, signal, onProgress }
    if (range.length > smallRead) {
      const contents = this.#contents(path, offset + range.length)
      return readStream(range, watched, {
        read: (at, count, signal) => contents.read(Number(at), count, signal),
        openRun: (at, count, unit, signal) => contents.openRun(Number(at), count, unit, signal),
      })
    }
    const read = async (at: ByteCount, count: number, signal: AbortSignal) => {
      const part = await this.#read(bytes, Number(at), count, signal)
      if (part.length < count) throw new FilesError('DAMAGED', `${shownPath(path)} ends before its size.`)
      return part as Uint8Array<ArrayBuffer>
    }
    return readStream(range, watched, { read, openRun: undefined })
  }

  /**
   * Reads the target of a symbolic link, as it is stored. It may lead nowhere.
   *
   * @throws {@link FilesError} `NOT_FOUND`, `NOT_A_LINK` and others.
   * @example
   * ```ts
   * await volume.readLink('/etc/localtime') // '/usr/share/zoneinfo/Europe/Berlin'
   * ```
   */
  async readLink(path: FilePath, options: RequestOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.readLinkBytes(path, options))
  }

  /**
   * As {@link Volume.readLink}, as bytes: for targets that are not UTF-8.
   *
   * @throws {@link FilesError} `NOT_FOUND`, `NOT_A_LINK` and others.
   */
  async readLinkBytes(path: FilePath, options: RequestOptions = {}): Promise<Uint8Array> {
    const signal = valid(() => signalIn(options))
    return this.#session.call({ method: 'readLink', args: [this.#bytes(path)] }, signal)
  }

  /**
   * Returns the used and free bytes, or `undefined` if the file system knows neither. Where it keeps no sum, as FAT and NTFS,
   * the whole table of allocations is read: a few megabytes for a large volume.
   *
   * @throws {@link FilesError} `DAMAGED`, `UNSUPPORTED` and others.
   */
  async usage(options: RequestOptions = {}): Promise<VolumeUsage | undefined> {
    const signal = valid(() => signalIn(options))
    if (this.used !== undefined && this.free !== undefined) return { used: this.used, free: this.free }
    const { used, free } = await this.#session.call<Partial<VolumeUsage>>({ method: 'facts', args: [] }, signal)
    return used !== undefined && free !== undefined ? { used, free } : undefined
  }

  /**
   * Streams files and directories, with all that is in them, as a zip archive. Nothing is compressed. Names are made safe for
   * every system. Symbolic links and what cannot be read are left out and reported to `onSkip`.
   *
   * @throws {@link FilesError} `NOT_FOUND` and others; later errors end the stream.
   * @example
   * ```ts
   * const archive = await volume.zip(['/home/user/Documents'])
   * await archive.pipeTo(await picked.createWritable())
   * ```
   */
  zip(paths: readonly FilePath[], options: ArchiveOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return zip(this, paths, options)
  }

  /**
   * As {@link Volume.zip}, as a tar archive, which keeps names, owners, permissions, times, symbolic and hard links.
   *
   * @throws {@link FilesError} `NOT_FOUND` and others; later errors end the stream.
   */
  tar(paths: readonly FilePath[], options: ArchiveOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return tar(this, paths, options)
  }

  /**
   * Creates a file, or replaces the one at `path`; only on FAT. The volume must not be in use elsewhere, such as by a machine
   * that runs. Other objects for the same volume do not see the change.
   *
   * The change is complete and durable when the promise resolves. A crash before, an abort or an error leaves the old file, or
   * none, as it was: at worst there are clusters that nothing uses, which `fsck.fat` frees. A file that is replaced needs its
   * new room while it still has the old one.
   *
   * @throws {@link FilesError} `READ_ONLY`, `NO_SPACE`, `NOT_FOUND` if there is no such directory, `IS_A_DIRECTORY`, `INVALID`
   * for a name that FAT cannot hold or more than 4 GiB, and others; what the disk throws; or the signal's reason.
   * @example
   * ```ts
   * await volume.write('/AUTOEXEC.BAT', new TextEncoder().encode('@echo off\r\n'))
   * await volume.write(`/${file.name}`, file, { onProgress: ({ done, total }) => show(done / total) })
   * ```
   */
  async write(path: FilePath, content: FileContent, options: LongOptions = {}): Promise<void> {
    const watch = valid(() => watchIn(options))
    await changeVolume(this.#session, this, { kind: 'write', path: this.#bytes(path), content }, watch)
  }

  /**
   * Creates a directory; only on FAT, as {@link Volume.write}.
   *
   * @throws {@link FilesError} `READ_ONLY`, `NO_SPACE`, `EXISTS`, `NOT_FOUND` if there is no directory to create it in, and
   * others.
   */
  async createDirectory(path: FilePath, options: RequestOptions = {}): Promise<void> {
    const signal = valid(() => signalIn(options))
    await changeVolume(this.#session, this, { kind: 'createDirectory', path: this.#bytes(path) }, { signal })
  }

  /**
   * Deletes a file, or a directory; only on FAT, as {@link Volume.write}. Files are deleted one after another: an abort or an
   * error leaves those that were not reached.
   *
   * @throws {@link FilesError} `READ_ONLY`, `NOT_FOUND`, `NOT_EMPTY` for a directory that is not, unless `recursive` is true,
   * and others.
   */
  async delete(path: FilePath, options: DeleteOptions = {}): Promise<void> {
    const signal = valid(() => signalIn(options))
    const recursive = valid(() => flag(options.recursive, 'recursive', false))
    const paths = [path]
    if (recursive) {
      const stat = await this.stat(path, { signal, follow: false })
      const skipped = (path: FilePath, reason: string) => {
        throw new FilesError('DAMAGED', `${shownPath(path)} cannot be deleted: ${reason}`)
      }
      const start = { ...stat, path, name: lastName(path) }
      paths.length = 0
      for await (const { entry } of walk(this, start, { signal, onSkip: skipped })) paths.push(entry.path)
    }
    // What is in a directory comes after it.
    for (const each of paths.reverse()) {
      await changeVolume(this.#session, this, { kind: 'delete', path: this.#bytes(each) }, { signal })
    }
  }

  /**
   * Unlocks an encrypted container, and finds the volumes in it: a file system, or the volumes of LVM2. The container itself
   * stays as it is, and nothing is written. Close each volume that was used.
   *
   * Deriving the key takes seconds, and up to a gigabyte of memory until it is done: as much as the program that made the container
   * chose. It runs in a worker, unless the volumes were found with `worker: false`.
   *
   * @param passphrase text, or the bytes of a key file.
   * @throws {@link FilesError} `WRONG_PASSPHRASE`, `UNSUPPORTED` for what is no container, or has a cipher that is not
   * supported, `DAMAGED`, `LIMIT` if there is not enough memory, `LOAD_FAILED`; or the signal's reason.
   * @example
   * ```ts
   * const container = (await volumes(disk)).find(({ locked }) => locked)
   * const [inside] = (await container?.unlock('open sesame')) ?? []
   * ```
   */
  async unlock(passphrase: string | Uint8Array, options: RequestOptions = {}): Promise<Volume[]> {
    const signal = valid(() => signalIn(options))
    const found = await unlockContainer(this.#session, this.id, passphrase, signal)
    return found.map(({ info, session }) => new Volume(info, session))
  }

  /** Returns what was counted while the volume was read, for measurements. */
  statistics(): Promise<FilesStatistics> {
    return this.#session.call({ method: 'statistics', args: [] })
  }

  /** Ends the volume's worker and frees its memory. Calls that run, and later ones, reject with `CLOSED`. */
  close(): void {
    this.#session.close()
  }

  /** HFS+ stores names decomposed. Users, and all other systems, have them composed. */
  get #decomposes(): boolean {
    return this.type === 'hfsplus'
  }

  #bytes(path: FilePath): Uint8Array {
    return pathBytes(this.#decomposes && typeof path === 'string' ? path.normalize('NFD') : path)
  }

  #contents(path: FilePath, end: number): Contents {
    return new Contents(this.#session, this.#bytes(path), shownPath(path), end)
  }

  #read(path: Uint8Array, offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#session.call({ method: 'read', args: [path, offset, length] }, signal)
  }
}

function checkRange(offset: unknown, length: unknown): void {
  valid(() => integer(offset, 'offset'))
  if (length !== undefined) valid(() => integer(length, 'length'))
}
