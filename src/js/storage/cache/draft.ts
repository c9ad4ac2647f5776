import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import {
  type AsyncStorage,
  ask,
  checkedStorage,
  exact,
  isSync,
  type Storage,
  type StorageOpenOptions,
  type SyncStorage,
  type WritableAsyncStorage,
  type WritableSyncStorage,
} from '../../base/storage/contract.js'
import { fileOf } from '../blob/blob.js'
import { Changes, type Part } from './changes.js'

/** What a {@link draft} has beside what every storage has. It can be used also when no image is open over it. */
export interface Draft {
  /** How many bytes of changes are kept in memory. */
  readonly changed: number
  /**
   * The whole file with its changes, where the base is a `blob(file)`: put together from slices of that file and the changes,
   * without reading it. Flush or close the image before; what is written later is not in it.
   *
   * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if the base is none.
   */
  blob(): Promise<Blob>
  /**
   * The whole file with its changes, over any base, to be saved somewhere. Flush or close the image before, and write nothing
   * before the stream has ended.
   */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>
}

/**
 * A storage that can be written over one that isn't: changes are kept in memory, and the base stays as it is. To edit a file
 * that the user chose, and save the result as another.
 *
 * It is synchronous if the base is. Its changes are durable as long as the page: a flush has nothing to do. They stay when the
 * image is closed, and are there for the next one.
 *
 * @param base what shows where nothing was written; it may be writable itself, and is never written.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `base` is no storage.
 *
 * @example
 * ```ts
 * const edited = draft(memory(new Uint8Array(512)))
 * const disk = await raw(edited, { writable: true })
 * await disk.write(0, new TextEncoder().encode('boot'))
 * await disk.close()
 * await edited.stream().pipeTo(new WritableStream()) // The storage below is as it was.
 * ```
 */
export function draft(base: SyncStorage): WritableSyncStorage & Draft
export function draft(base: AsyncStorage): WritableAsyncStorage & Draft
export function draft(base: Storage): (WritableSyncStorage | WritableAsyncStorage) & Draft
export function draft(base: Storage): (WritableSyncStorage | WritableAsyncStorage) & Draft {
  const file = checkedStorage(base, 'The base of a draft')
  return isSync(file) ? new SyncDraft(file) : new AsyncDraft(file)
}

const MiB = 1024 * 1024

/** What drafts of both kinds are. */
abstract class BaseDraft<S extends Storage> implements Draft {
  protected readonly base: S
  protected readonly changes = new Changes()
  /** Up to here the base shows; missing until it was opened for the first time. */
  protected shown: number | undefined
  /** The length of the file. */
  protected length = 0

  constructor(base: S) {
    this.base = base
  }

  get changed(): number {
    return this.changes.size
  }

  async open(options?: StorageOpenOptions): Promise<void> {
    await this.base.open?.({ ...options, writable: false })
    if (this.shown !== undefined) return
    this.shown = await this.base.size()
    this.length = this.shown
  }

  async close(): Promise<void> {
    await this.base.close?.()
  }

  size(): number {
    return this.length
  }

  async blob(): Promise<Blob> {
    const file = fileOf(this.base)
    if (!file) throw invalidArgument('Only a draft over blob(file) can be a Blob; stream() is there for every one.')
    await this.open()
    try {
      const parts = this.parts(0, this.length)
      return new Blob(parts.flatMap((part) => part.bytes ?? this.#original(file, part)))
    } finally {
      await this.close()
    }
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = 0
    let opened = false
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        pull: async (controller) => {
          if (!opened) await this.open()
          opened = true
          try {
            const length = Math.min(MiB, this.length - at)
            if (length > 0) controller.enqueue(await this.part(at, length))
            at += length
          } catch (error) {
            await this.close()
            throw error
          }
          if (at < this.length) return
          await this.close()
          controller.close()
        },
        cancel: () => (opened ? this.close() : undefined),
      },
      { highWaterMark: 0 },
    )
  }

  /** The bytes of a range. */
  protected abstract part(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>

  /** What the range is made of. Where there are no bytes, the base shows, or past its end zeros. */
  protected parts(offset: number, length: number): Part[] {
    const end = offset + length
    if (end > this.length) throw new RangeError(`The file ends at ${this.length}; ${end} was asked for.`)
    return this.changes.parts({ start: offset, end })
  }

  /** How much of a part without bytes is the base's; the rest is zeros. */
  protected ofBase({ start, end }: Part): number {
    return Math.max(0, Math.min(end, this.shown ?? 0) - start)
  }

  protected put(offset: number, bytes: Uint8Array): void {
    try {
      this.changes.write(offset, bytes)
    } catch (cause) {
      throw new Qcow2Error('QUOTA', 'There is no memory for more changes.', { offset, cause })
    }
    this.length = Math.max(this.length, offset + bytes.length)
  }

  protected resize(size: number): void {
    this.changes.cut(size)
    this.shown = Math.min(this.shown ?? 0, size)
    this.length = size
  }

  /** The bytes of the base, and zeros, as parts of a `Blob`. */
  #original(file: Blob, part: Part): BlobPart[] {
    const count = this.ofBase(part)
    const parts: BlobPart[] = count > 0 ? [file.slice(part.start, part.start + count)] : []
    for (let zeros = part.end - part.start - count; zeros > 0; zeros -= MiB) {
      parts.push(new Uint8Array(Math.min(zeros, MiB)))
    }
    return parts
  }
}

class SyncDraft extends BaseDraft<SyncStorage> implements WritableSyncStorage {
  readSync(offset: number, into: Uint8Array): void {
    for (const part of this.parts(offset, into.length)) {
      const target = into.subarray(part.start - offset, part.end - offset)
      if (part.bytes) {
        target.set(part.bytes)
        continue
      }
      const count = this.ofBase(part)
      if (count > 0) this.base.readSync(part.start, target.subarray(0, count))
      target.fill(0, count)
    }
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.put(offset, bytes)
  }

  truncateSync(size: number): void {
    this.resize(size)
  }

  flushSync(): void {}

  protected override async part(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length)
    this.readSync(offset, bytes)
    return bytes
  }
}

class AsyncDraft extends BaseDraft<AsyncStorage> implements WritableAsyncStorage {
  async read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    const parts = this.parts(offset, length)
    const [only] = parts
    // Most of a file is as it was: the storage's own array will do.
    if (only && parts.length === 1 && !only.bytes && this.ofBase(only) === length) {
      return ask(this.base, offset, length, options)
    }
    const bytes = new Uint8Array(length)
    const reads = parts.map(async (part) => {
      const at = part.start - offset
      const count = part.bytes ? 0 : this.ofBase(part)
      if (part.bytes) bytes.set(part.bytes, at)
      else if (count > 0) bytes.set(exact(await ask(this.base, part.start, count, options), part.start, count), at)
    })
    await Promise.all(reads)
    return bytes
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.put(offset, bytes)
  }

  async truncate(size: number): Promise<void> {
    this.resize(size)
  }

  async flush(): Promise<void> {}

  protected override async part(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    // Also where it is the base's array: a stream gives its chunks away.
    return new Uint8Array(await this.read(offset, length, new AbortController()))
  }
}
