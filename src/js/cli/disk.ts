import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, read, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Extent, ImageDisk, MapOptions, Qcow2, SnapshotDisk } from '../index.js'
import type { Caching } from './arguments.js'
import { partsOf } from './holes.js'
import type { ImageFile } from './image-file.js'
import { type SparseFile, sparseFiles } from './sparse-file.js'

/** A disk that a command reads: an image with its chain, a snapshot, or a raw file. */
export interface SourceDisk {
  readonly format: 'qcow2' | 'raw'
  /** The files of the chain, the image itself first. */
  readonly files: readonly ImageFile[]
  readonly size: number
  /** The image, where it is one. */
  readonly qcow2: Qcow2 | undefined
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>
  map(range?: MapOptions): AsyncIterable<Extent>
  write(offset: number, bytes: Uint8Array): Promise<void>
  writeZeroes(offset: number, length: number): Promise<void>
  flush(): Promise<void>
  close(): Promise<void>
}

/** A qcow2 image. */
export class QcowDisk implements SourceDisk {
  readonly format = 'qcow2'

  readonly #sparse: ReadonlyMap<number, SparseFile>

  constructor(
    readonly qcow2: Qcow2,
    readonly files: readonly ImageFile[],
    /** The snapshot of the image that is read instead, and closed with the image. */
    private readonly snapshot?: SnapshotDisk,
  ) {
    this.#sparse = sparseFiles(files)
  }

  get size(): number {
    return this.#disk.size
  }

  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#disk.read(offset, length)
  }

  /** The extents of the image. Extents in holes of their file read as zeros. */
  async *map(range: MapOptions = {}): AsyncGenerator<Extent> {
    for await (const found of this.#disk.map(range)) {
      // The file has the encrypted bytes, not those of the disk.
      const isEncrypted = this.files[found.depth]?.inspection?.encryption !== undefined
      const extent = isEncrypted ? { ...found, offset: undefined } : found
      const file = this.#sparse.get(extent.depth)
      if (!file || !extent.data || extent.offset === undefined) {
        yield extent
        continue
      }
      const { start, offset, length } = extent
      for (const [from, to, stored] of file.parts(offset, offset + length)) {
        const range = { start: start + from - offset, length: to - from, offset: from }
        yield { ...extent, ...range, zero: !stored, data: stored || file.isPreallocated }
      }
    }
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.qcow2.write(offset, bytes)
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.qcow2.writeZeroes(offset, length, { unmap: true })
  }

  flush(): Promise<void> {
    return this.qcow2.flush()
  }

  async close(): Promise<void> {
    for (const file of this.#sparse.values()) file.close()
    await this.snapshot?.close()
    await this.qcow2.close()
  }

  get #disk(): ImageDisk {
    return this.snapshot ?? this.qcow2
  }
}

const readPart = promisify(read)

/** Zeros are written in segments of this many bytes. */
const pieceSize = 1024 * 1024

/** A raw file. Its size is rounded up to a sector, and reads past the file's end return zeros. */
export class RawDisk implements SourceDisk {
  readonly format = 'raw'
  readonly qcow2 = undefined
  readonly files: readonly ImageFile[]
  readonly #file: number
  #length: number

  readonly #cache: Caching

  private constructor(image: ImageFile, file: number, cache: Caching) {
    this.files = [image]
    this.#file = file
    this.#length = fstatSync(file).size
    this.#cache = cache
  }

  /** Opens the file; throws what the operating system reports. */
  static open(image: ImageFile, writable: boolean, cache: Caching): RawDisk {
    return new RawDisk(image, openSync(image.path, writable ? 'r+' : 'r'), cache)
  }

  get size(): number {
    return Math.ceil(this.#length / 512) * 512
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length)
    const end = Math.min(length, this.#length - offset)
    for (let done = 0; done < end; ) {
      // In the background, while what was read before is written.
      const { bytesRead } = await readPart(this.#file, bytes, done, end - done, offset + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return bytes
  }

  /** The stored parts and the holes. */
  async *map(range: MapOptions = {}): AsyncGenerator<Extent> {
    const offset = Number(range.offset ?? 0)
    const length = Number(range.length ?? this.size - offset)
    for (const [start, end, stored] of partsOf(this.#file, this.files[0]?.path ?? '', offset, offset + length)) {
      yield rawExtent(start, end, stored)
    }
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, offset + done)
    }
    this.#length = Math.max(this.#length, offset + bytes.length)
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(length, pieceSize))
    for (let done = 0; done < length; done += zeros.length) {
      await this.write(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)))
    }
  }

  /** Changes the length of the file. */
  async resize(size: number): Promise<void> {
    ftruncateSync(this.#file, size)
    this.#length = size
  }

  async flush(): Promise<void> {
    if (this.#cache !== 'unsafe') fdatasyncSync(this.#file)
  }

  async close(): Promise<void> {
    closeSync(this.#file)
  }
}

function rawExtent(start: number, end: number, data: boolean): Extent {
  return { start, length: end - start, depth: 0, present: true, zero: !data, data, compressed: false, offset: start }
}
