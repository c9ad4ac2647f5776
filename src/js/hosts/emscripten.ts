/**
 * A qcow2 image as a file of an Emscripten file system, for emulators that were compiled to WebAssembly: js-dos, qemu-wasm,
 * TinyEMU, Bochs.
 *
 * @packageDocumentation
 */

import { callback, optionsIn, text, withMethods } from '../base/arguments.js'
import { isQcow2Error, type Qcow2, type Qcow2Error } from '../index.js'
import { DelayedFlush, delay, reportUncaught } from './delayed-flush.js'
import { syncImage } from './sync-image.js'

/** A stream of an Emscripten file system: an open file. */
export interface EmscriptenStream {
  /** Where the next read or write begins. */
  position: number
}

/** A node of an Emscripten file system. */
export interface EmscriptenNode {
  /** The operations of the node, under Emscripten's names. */
  node_ops: object
  /** The operations of its open files, under Emscripten's names. */
  stream_ops: object
  /** The number of the node. */
  readonly id: number
  /** Its type and permissions. */
  mode: number
}

/** The part of Emscripten's `FS` that is needed here. */
export interface EmscriptenFs {
  /** Creates an empty file. */
  mknod(path: string, mode: number, device: number): EmscriptenNode
  /** Removes a file. */
  unlink(path: string): void
  /** The class of the file system's exceptions, which is made with a number for the program. */
  readonly ErrnoError: EmscriptenError
}

/** The class of a file system's exceptions. */
export interface EmscriptenError {
  /** Makes an exception with a number for the program. */
  new (errno: number): Error
}

/** The part of an Emscripten module that maps files into its memory. */
export interface EmscriptenMemory {
  /** Allocates memory of the module. */
  _malloc(length: number): number
  /** The memory, as bytes. */
  readonly HEAPU8: Uint8Array
}

/** How {@link mountDisk} mounts. */
export interface MountOptions {
  /** The module, for programs that map the disk into memory. Without it, mapping fails with ENODEV. */
  readonly module?: EmscriptenMemory | undefined
  /**
   * How long after a write the image is flushed, in milliseconds: most programs never call `fsync`.
   * Default: 1000.
   */
  readonly flushDelay?: number | undefined
  /**
   * Called with each error of the image, for the program sees only a number: EIO, ENOSPC or EROFS. An exception that it throws
   * comes out of the program's call. Without it, a flush of the disk's own that fails is reported as uncaught.
   */
  readonly onError?: ((error: Qcow2Error) => void) | undefined
}

/** A mounted disk. */
export interface MountedDisk {
  /**
   * Makes durable what was written, and removes the file. The image stays open.
   *
   * @throws `Qcow2Error` what `image.flushSync` throws; the file is removed all the same.
   */
  unmount(): void
}

// Emscripten has WASI's numbers.
const errno = { inval: 28, io: 29, nodev: 43, nospc: 51, perm: 63, rofs: 69 } as const
const fileType = 0o100000
const shared = 1

/**
 * Puts the disk of an image into an Emscripten file system as a file, without holding it in memory. Reads and writes go to
 * the image immediately. It is flushed by `fsync`, by `close`, and a second after a write.
 *
 * @param fs the file system: `Module.FS`.
 * @param path where the file is to be. There must not be one yet.
 * @throws `Qcow2Error` `NOT_SYNC` for an image that can't be read without waiting: open it in the emulator's worker, over storages that
 * are synchronous there. The exceptions of `FS.mknod`.
 *
 * @example
 * ```ts
 * const image = await Qcow2.open(opfs('dos.qcow2'), { writable: true }) // in the emulator's worker
 * mountDisk(Module.FS, '/disk.img', image)
 * ```
 */
export function mountDisk(fs: EmscriptenFs, path: string, image: Qcow2, options: MountOptions = {}): MountedDisk {
  withMethods(fs, ['mknod', 'unlink', 'ErrnoError'], 'The file system')
  text(path, 'The path')
  syncImage(image, 'A program in Emscripten reads')
  const { module } = optionsIn(options)
  if (module !== undefined) withMethods(module, ['_malloc'], 'module')
  const flushDelay = delay(options.flushDelay)
  const onError = callback(options.onError, 'onError') ?? reportUncaught
  const node = fs.mknod(path, fileType | (!image.readOnly ? 0o666 : 0o444), 0)
  const flush = new DelayedFlush(image, flushDelay, (error) => {
    if (isQcow2Error(error)) onError(error)
    else reportUncaught(error)
  })
  const file = new DiskFile(fs, image, options, flush)
  node.node_ops = {
    ...node.node_ops,
    getattr: (each: EmscriptenNode) => file.attributes(each),
    setattr: file.setAttributes,
  }
  node.stream_ops = file.streamOperations()
  return {
    unmount() {
      try {
        flush.now()
      } finally {
        fs.unlink(path)
      }
    },
  }
}

/** The operations of the file. */
class DiskFile {
  readonly #fs: EmscriptenFs
  readonly #image: Qcow2
  readonly #options: MountOptions
  readonly #flushing: DelayedFlush
  readonly #created = new Date()

  constructor(fs: EmscriptenFs, image: Qcow2, options: MountOptions, flush: DelayedFlush) {
    this.#flushing = flush
    this.#fs = fs
    this.#image = image
    this.#options = options
  }

  attributes({ id, mode }: EmscriptenNode): object {
    const { size } = this.#image
    const [atime, mtime, ctime] = [this.#created, this.#created, this.#created]
    const blksize = 4096
    const blocks = Math.ceil(size / 512)
    return { dev: 1, ino: id, mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size, atime, mtime, ctime, blksize, blocks }
  }

  /** A disk keeps its size. Times and permissions are not kept. */
  readonly setAttributes = (_: EmscriptenNode, { size }: { readonly size?: number }) => {
    if (size !== undefined && size !== this.#image.size) throw new this.#fs.ErrnoError(errno.perm)
  }

  streamOperations(): object {
    return {
      llseek: (stream: EmscriptenStream, offset: number, whence: number) => this.#seek(stream, offset, whence),
      read: (_: EmscriptenStream, buffer: ArrayBufferView, offset: number, length: number, position: number) =>
        this.#read(bytesOf(buffer, offset, length), position),
      write: (_: EmscriptenStream, buffer: ArrayBufferView, offset: number, length: number, position: number) =>
        this.#write(bytesOf(buffer, offset, length), position),
      mmap: (_: EmscriptenStream, length: number, position: number) => this.#map(length, position),
      msync: (_: EmscriptenStream, buffer: ArrayBufferView, offset: number, length: number, flags: number) => {
        if (flags & shared) this.#write(bytesOf(buffer, 0, length), offset)
        return 0
      },
      fsync: () => this.#flush(),
      close: () => this.#flush(),
    }
  }

  #seek(stream: EmscriptenStream, offset: number, whence: number): number {
    const from = [0, stream.position, this.#image.size][whence]
    if (from === undefined || from + offset < 0) throw new this.#fs.ErrnoError(errno.inval)
    return from + offset
  }

  #read(into: Uint8Array, position: number): number {
    const length = this.#inside(into.length, position)
    if (length > 0) this.#guard(() => this.#image.readIntoSync(position, into.subarray(0, length)))
    return length
  }

  #write(from: Uint8Array, position: number): number {
    if (this.#image.readOnly) throw new this.#fs.ErrnoError(errno.rofs)
    const length = this.#inside(from.length, position)
    if (length === 0 && from.length > 0) throw new this.#fs.ErrnoError(errno.nospc)
    if (length > 0) this.#guard(() => this.#image.writeSync(position, from.subarray(0, length)))
    this.#flushing.written()
    return length
  }

  #map(length: number, position: number): { readonly ptr: number; readonly allocated: boolean } {
    const { module } = this.#options
    if (!module) throw new this.#fs.ErrnoError(errno.nodev)
    const ptr = module._malloc(length)
    const bytes = module.HEAPU8.subarray(ptr, ptr + length)
    bytes.fill(0, this.#read(bytes, position))
    return { ptr, allocated: true }
  }

  #flush(): number {
    this.#guard(() => this.#flushing.now())
    return 0
  }

  #inside(length: number, position: number): number {
    return Math.max(0, Math.min(length, this.#image.size - position))
  }

  /** Turns an error of the image into a number that the program knows. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!isQcow2Error(error)) throw error
      this.#options.onError?.(error)
      throw new this.#fs.ErrnoError(error.code === 'QUOTA' ? errno.nospc : errno.io)
    }
  }
}

/** A part of an array of any type, as bytes. Emscripten counts in bytes, and passes arrays of bytes with and without a sign. */
function bytesOf(buffer: ArrayBufferView, offset: number, length: number): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length)
}
