import { invalidArgument, Qcow2Error } from '../errors.js'
import type { AsyncStorage, SyncStorage } from './types.js'

/** How {@link nodeFile} reads. */
export interface NodeFileOptions {
  /** Read with blocking calls, so that `readSync` of the image works. Default: false. */
  readonly sync?: boolean
}

/**
 * A file of the file system, in Node, Deno or Bun. It is opened read-only when an image is opened over it.
 *
 * The file may not change while it is in use. Reads can't be cancelled: an aborted one ends in the background.
 *
 * @param path the file's path, or its `file:` URL.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if `path` is neither. That the file is missing, or may not be read,
 * shows when the image is opened: code `STORAGE` with Node's error as the `cause`.
 */
export function nodeFile(path: string | URL, options: NodeFileOptions & { readonly sync: true }): SyncStorage
export function nodeFile(path: string | URL, options?: NodeFileOptions): AsyncStorage
export function nodeFile(path: string | URL, options: NodeFileOptions = {}): SyncStorage | AsyncStorage {
  if (typeof path !== 'string' && !(path instanceof URL)) throw invalidArgument('nodeFile() takes a path or a URL.')
  return options.sync ? syncFile(new OpenFile(path)) : asyncFile(new OpenFile(path))
}

function asyncFile(file: OpenFile): AsyncStorage {
  return {
    open: () => file.open(),
    size: () => file.current.size,
    async read(offset, length) {
      const { handle } = file.current
      const bytes = new Uint8Array(length)
      let done = 0
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
        if (bytesRead === 0) throw tooShort(offset + done)
        done += bytesRead
      }
      return bytes
    },
    close: () => file.close(),
  }
}

function syncFile(file: OpenFile): SyncStorage {
  return {
    open: () => file.open(),
    size: () => file.current.size,
    readSync(offset, into) {
      const { fs, handle } = file.current
      let done = 0
      while (done < into.length) {
        const count = fs.readSync(handle.fd, into, done, into.length - done, offset + done)
        if (count === 0) throw tooShort(offset + done)
        done += count
      }
    },
    close: () => file.close(),
  }
}

/** A file that is open while at least one image uses it. */
class OpenFile {
  readonly #path: string | URL
  #users = 0
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined

  constructor(path: string | URL) {
    this.#path = path
  }

  /** What was opened; an exception if nothing is. */
  get current(): Opened {
    if (this.#opened) return this.#opened
    throw new Qcow2Error('CLOSED', 'The file is not open: its open() comes first.')
  }

  async open(): Promise<void> {
    this.#users += 1
    this.#opening ??= openFile(this.#path)
    try {
      this.#opened = await this.#opening
    } catch (error) {
      this.#users -= 1
      this.#opening = undefined
      throw error
    }
  }

  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    const handle = this.#opened?.handle
    this.#opened = undefined
    this.#opening = undefined
    await handle?.close()
  }
}

interface Opened {
  readonly fs: NodeFs
  readonly handle: FileHandle
  readonly size: number
}

async function openFile(path: string | URL): Promise<Opened> {
  // Not a literal, and marked for bundlers: code for browsers is built from this file too, and never comes here.
  const name = 'node:fs'
  const fs: NodeFs = await import(/* webpackIgnore: true */ /* @vite-ignore */ name)
  const handle = await fs.promises.open(path, 'r')
  const { size } = await handle.stat()
  return { fs, handle, size }
}

function tooShort(offset: number): Qcow2Error {
  return new Qcow2Error('FILE_CHANGED', 'The file is shorter than it was when it was opened.', { offset })
}

/** What is used of `node:fs`; spelled out so that nobody needs Node's types to use this package's. */
interface NodeFs {
  readSync(fd: number, into: Uint8Array, start: number, length: number, position: number): number
  readonly promises: { open(path: string | URL, flags: 'r'): Promise<FileHandle> }
}

interface FileHandle {
  readonly fd: number
  read(into: Uint8Array, start: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  stat(): Promise<{ readonly size: number }>
  close(): Promise<void>
}
