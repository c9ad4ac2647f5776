import { flag, optionsIn } from '../../base/arguments.js'
import { invalidArgument, Qcow2Error } from '../../base/errors.js'
import { nodeModule } from '../../base/node.js'
import { explaining } from '../../base/storage/access.js'
import { claimFile, disclaimFile } from '../../base/storage/claims.js'
import type { WritableAsyncStorage, WritableStorage, WritableSyncStorage } from '../../base/storage/contract.js'
import { quota } from '../quota.js'
import { nameBeside, type Replacement, replaceable } from '../replacement.js'
import { Shared } from '../shared.js'

/** How {@link nodeFile} opens a file. */
export interface NodeFileOptions {
  /** Read and write with blocking calls, so that `readSync` of the image and its like work. Default: false. */
  readonly sync?: boolean | undefined
  /** Make an empty file where there is none, when an image is opened over it for writing. Default: false. */
  readonly create?: boolean | undefined
}

/**
 * A file of the file system, in Node, Deno or Bun. It is opened when an image is opened over it. A flush is `fdatasync`.
 *
 * Nothing else may change the file while it is in use. Within this thread that is checked: opening fails with code `IN_USE` if
 * another storage has the file, by whatever path, and one of the two may write. Where another program changes a file that is only
 * read here, reads fail with code `FILE_CHANGED`: each one that is asynchronous, and one with `sync` from a millisecond on. Requests
 * can't be cancelled: an aborted one ends in the background.
 *
 * @param path the file's path, or its `file:` URL.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `path` is neither. That the file is missing, or may not be read or
 * written, shows when the image is opened: code `STORAGE` with Node's error as the `cause`.
 *
 * @example
 * ```ts
 * const image = await Qcow2.create(nodeFile('new.qcow2', { create: true }), { size: 1024 ** 3 })
 * await image.close()
 * ```
 */
export function nodeFile(path: string | URL, options: NodeFileOptions & { readonly sync: true }): WritableSyncStorage
export function nodeFile(path: string | URL, options?: NodeFileOptions): WritableAsyncStorage
export function nodeFile(path: string | URL, options: NodeFileOptions = {}): WritableStorage {
  if (typeof path !== 'string' && !(path instanceof URL)) throw invalidArgument('nodeFile() takes a path or a URL.')
  const given = optionsIn(options)
  const [sync, create] = [flag(given.sync, 'sync'), flag(given.create, 'create')]
  const file: OpenFile = new Shared((_, writable) => openFile(path, writable, create && writable), closeFile)
  const storage = sync ? syncFile(file) : asyncFile(file)
  return replaceable(storage, () => explaining('replaced', () => beginReplacement(path)))
}

/** Begins a new file in the directory of the old one, so that it can be renamed, with the permissions of the old one. */
async function beginReplacement(path: string | URL): Promise<Replacement | undefined> {
  const { promises } = nodeFs()
  const old = await promises.stat(path).catch(() => undefined)
  if (!old?.isFile() || old.size === 0) return undefined
  // A link stays a link: the file that it leads to is replaced.
  const target = await promises.realpath(path)
  const beside = nameBeside(target)
  return {
    storage: nodeFile(beside, { create: true }),
    async commit() {
      await promises.chmod(beside, old.mode)
      await promises.rename(beside, target)
    },
    discard: () => promises.rm(beside, { force: true }),
  }
}

function asyncFile(file: OpenFile): WritableAsyncStorage {
  return {
    open: (options) => file.open(options),
    size: () => sizeOf(file.current),
    allocatedSize: () => allocatedSize(file.current),
    async read(offset, length) {
      const { handle, watch } = file.current
      const bytes = new Uint8Array(length)
      let done = 0
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
        if (bytesRead === 0) throw tooShort(offset + done)
        done += bytesRead
      }
      // In the background a read takes twenty times as long as this.
      watch?.check(offset)
      return bytes
    },
    async write(offset, bytes) {
      const { handle } = file.writable
      let done = 0
      while (done < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
        if (bytesWritten === 0) throw quota(offset + done)
        done += bytesWritten
      }
    },
    truncate: async (size) => file.writable.handle.truncate(size),
    flush: async () => file.writable.handle.datasync(),
    close: () => file.close(),
  }
}

function syncFile(file: OpenFile): WritableSyncStorage {
  return {
    open: (options) => file.open(options),
    size: () => sizeOf(file.current),
    allocatedSize: () => allocatedSize(file.current),
    readSync(offset, into) {
      const { fs, handle, watch } = file.current
      let done = 0
      while (done < into.length) {
        const count = fs.readSync(handle.fd, into, done, into.length - done, offset + done)
        if (count === 0) throw tooShort(offset + done)
        done += count
      }
      watch?.checkSometimes(offset)
    },
    writeSync(offset, bytes) {
      const { fs, handle } = file.writable
      let done = 0
      while (done < bytes.length) {
        const count = fs.writeSync(handle.fd, bytes, done, bytes.length - done, offset + done)
        if (count === 0) throw quota(offset + done)
        done += count
      }
    },
    truncateSync(size) {
      const { fs, handle } = file.writable
      fs.ftruncateSync(handle.fd, size)
    },
    flushSync() {
      const { fs, handle } = file.writable
      fs.fdatasyncSync(handle.fd)
    },
    close: () => file.close(),
  }
}

/** The open file, while at least one image uses it. */
type OpenFile = Shared<Opened>

interface Opened {
  readonly fs: NodeFs
  readonly handle: FileHandle
  /** Its length when it was opened. */
  readonly size: number
  /** What identifies the file. */
  readonly file: string
  /** Notices changes by others; not of a file that is written here. */
  readonly watch: Watch | undefined
}

function nodeFs(): NodeFs {
  const fs = nodeModule<NodeFs>('node:fs')
  if (fs) return fs
  const reason = 'nodeFile() needs Node, or a runtime that has its modules. Elsewhere use blob() or fileHandle().'
  throw invalidArgument(reason)
}

async function openFile(path: string | URL, writable: boolean, create: boolean): Promise<Opened> {
  const fs = nodeFs()
  const { O_RDONLY, O_RDWR, O_CREAT } = fs.constants
  const handle = await fs.promises.open(path, (writable ? O_RDWR : O_RDONLY) | (create ? O_CREAT : 0))
  try {
    const watch = writable ? undefined : new Watch(fs, handle.fd)
    const { dev, ino, size } = await handle.stat({ bigint: true })
    const file = `${dev} ${ino}`
    if (!claimFile(file, writable ? 'write' : 'read')) throw inUse(path)
    return { fs, handle, size: Number(size), file, watch }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function closeFile({ handle, file }: Opened): Promise<void> {
  try {
    await handle.close()
  } finally {
    disclaimFile(file)
  }
}

/** A file that is only read keeps its length: otherwise its watch throws. */
function sizeOf({ fs, handle, size, watch }: Opened): number {
  return watch ? size : fs.fstatSync(handle.fd).size
}

/** File systems count blocks of 512 bytes, whatever their own are. */
async function allocatedSize({ handle }: Opened): Promise<number> {
  return (await handle.stat()).blocks * 512
}

function inUse(path: string | URL): Qcow2Error {
  return new Qcow2Error('IN_USE', `The file ${path} is in use, and one that is written can have only one user.`)
}

/** How often a file is looked after that is read synchronously, in milliseconds. */
const interval = 1

/**
 * Notices that another process has changed a file: its size or its time is not what it was. Both are of the open file, so a file
 * that only takes its name is no change: what is read remains whole.
 */
class Watch {
  readonly #fs: NodeFs
  readonly #fd: number
  readonly #state: string
  #checked = performance.now()

  constructor(fs: NodeFs, fd: number) {
    this.#fs = fs
    this.#fd = fd
    this.#state = this.#look()
  }

  /** Throws if the file has changed up to now; what was read before that is of the state that was opened. */
  check(offset: number): void {
    if (this.#look() === this.#state) return
    const reason = 'The file was changed by another program after it was opened: open it again.'
    throw new Qcow2Error('FILE_CHANGED', reason, { offset })
  }

  /** As `check`, at most once a millisecond: a look takes longer than a small read that is synchronous. */
  checkSometimes(offset: number): void {
    const now = performance.now()
    if (now - this.#checked < interval) return
    this.#checked = now
    this.check(offset)
  }

  #look(): string {
    const { dev, ino, size, mtimeNs } = this.#fs.fstatSync(this.#fd, { bigint: true })
    return [dev, ino, size, mtimeNs].join()
  }
}

function tooShort(offset: number): Qcow2Error {
  return new Qcow2Error('FILE_CHANGED', 'The file is shorter than it was when it was opened.', { offset })
}

/** What is used of `node:fs`; declared here so that users of this package's types do not need Node's. */
interface NodeFs {
  readSync(fd: number, into: Uint8Array, start: number, length: number, position: number): number
  writeSync(fd: number, from: Uint8Array, start: number, length: number, position: number): number
  ftruncateSync(fd: number, size: number): void
  fdatasyncSync(fd: number): void
  fstatSync(fd: number): { readonly size: number }
  fstatSync(fd: number, options: { readonly bigint: true }): Record<'dev' | 'ino' | 'size' | 'mtimeNs', bigint>
  readonly constants: { readonly O_RDONLY: number; readonly O_RDWR: number; readonly O_CREAT: number }
  readonly promises: {
    open(path: string | URL, flags: number): Promise<FileHandle>
    stat(path: string | URL): Promise<{ readonly size: number; readonly mode: number; isFile(): boolean }>
    realpath(path: string | URL): Promise<string>
    chmod(path: string, mode: number): Promise<void>
    rename(from: string, to: string): Promise<void>
    rm(path: string, options: { readonly force: true }): Promise<void>
  }
}

interface FileHandle {
  readonly fd: number
  read(into: Uint8Array, start: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  write(from: Uint8Array, start: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>
  truncate(size: number): Promise<void>
  datasync(): Promise<void>
  stat(): Promise<{ readonly size: number; readonly blocks: number }>
  stat(options: { readonly bigint: true }): Promise<Record<'dev' | 'ino' | 'size', bigint>>
  close(): Promise<void>
}
