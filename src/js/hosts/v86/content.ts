import type { Qcow2 } from '../../index.js'
import { ReadAhead } from './read-ahead.js'
import { checksum } from './record.js'

/** v86 guesses the geometry from the first sector, which it needs without waiting. */
export const sectorSize = 512
/** The last sector of a CD may reach past the end of its image. */
const padding = 2048
/** Where a CD records the name of its volume and its date. */
const volumeDescriptor = { offset: 32768, length: 2048 }
/** The longest read for which one buffer is kept, in bytes. Linux reads at most 1.25 MiB at a time. */
const largestKept = 2 * 1024 * 1024

/** What the disk holds: the bytes of the image, its first sector at hand, and how much of what was written is durable. */
export class Content {
  readonly image: Qcow2
  /** The write cache, as the guest sees it; `undefined` if the drive has none. Without it, each write is durable when it completes. */
  writeCache: boolean | undefined
  readonly #ahead: ReadAhead
  #size: number
  #firstSector: Uint8Array<ArrayBuffer> | undefined
  /** For reads that are answered without waiting: v86 copies the bytes before it asks for others. */
  #buffer = new Uint8Array(128 * 1024)
  #identity = ''
  /** Counts writes, to know which of them a flush has made durable. */
  #writes = 0
  #durable = 0

  constructor(image: Qcow2, writeCache: boolean) {
    this.image = image
    this.#ahead = new ReadAhead(image)
    this.writeCache = writeCache && !image.readOnly ? true : undefined
    this.#size = image.size
  }

  get size(): number {
    return this.#size
  }

  /** Identifies a disk that is not writable: a checksum of its first bytes. */
  get identity(): string {
    return this.#identity
  }

  /** Counts the writes: two equal values mean unchanged bytes. */
  get writes(): number {
    return this.#writes
  }

  /** True while there are writes that no flush has made durable. */
  get dirty(): boolean {
    return this.#writes > this.#durable
  }

  /** Reads without waiting; `undefined` for what is not at hand. The bytes are valid until the next call. */
  readNow(offset: number, length: number): Uint8Array | undefined {
    const inside = this.#inside(offset, length)
    if (!this.image.sync) return padded(this.#ahead.take(offset, inside), length)
    const bytes = this.#bufferOf(length)
    bytes.fill(0, inside)
    this.image.readIntoSync(offset, bytes.subarray(0, inside))
    return bytes
  }

  /** Reads. The bytes are valid until the next call. */
  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return padded(await this.#ahead.read(offset, this.#inside(offset, length), signal), length)
  }

  /** Writes without waiting; false if that is not possible. */
  writeNow(offset: number, bytes: Uint8Array): boolean {
    if (!this.image.sync) return false
    this.#writes += 1
    this.image.writeSync(offset, bytes)
    this.#keepFirstSector(offset, bytes)
    if (this.writeCache === true) return true
    this.image.flushSync()
    this.#durable = this.#writes
    return true
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#writes += 1
    this.#ahead.changing(offset, bytes.length)
    await this.image.write(offset, bytes)
    this.#keepFirstSector(offset, bytes)
    if (this.writeCache !== true) await this.flush()
  }

  /** Makes durable what was written before the call. */
  async flush(): Promise<void> {
    const writes = this.#writes
    if (!this.image.readOnly) await this.image.flush()
    this.#durable = Math.max(this.#durable, writes)
  }

  /** Takes over what the image has: at the beginning, and after it has gone back to a snapshot. */
  async load(): Promise<void> {
    this.#size = this.image.size
    this.#firstSector = undefined
    if (this.#size >= sectorSize) this.#firstSector = await this.image.read(0, sectorSize)
    if (!this.image.readOnly) return
    const end = Math.min(volumeDescriptor.offset + volumeDescriptor.length, this.#size)
    this.#identity = checksum(await this.image.read(0, end)).toString(16)
  }

  /** The image holds other bytes now, all of them durable. */
  async reload(): Promise<void> {
    this.#writes += 1
    this.#durable = this.#writes
    this.#ahead.clear()
    await this.load()
  }

  /** Bytes of the first sector, without waiting; `undefined` for all others. */
  atHand(offset: number, length: number): Uint8Array | undefined {
    return offset + length <= sectorSize ? this.#firstSector?.slice(offset, offset + length) : undefined
  }

  #bufferOf(length: number): Uint8Array {
    if (length > largestKept) return new Uint8Array(length)
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(length)
    return this.#buffer.subarray(0, length)
  }

  #keepFirstSector(offset: number, bytes: Uint8Array): void {
    if (offset < sectorSize) this.#firstSector?.set(bytes.subarray(0, sectorSize - offset), offset)
  }

  /** How much of a range the image has; the rest of its last sector reads as zeros. */
  #inside(offset: number, length: number): number {
    const over = offset + length - this.#size
    return over > 0 && over < padding && offset < this.#size ? length - over : length
  }
}

function padded<T extends Uint8Array | undefined>(bytes: T, length: number): T | Uint8Array {
  if (!bytes || bytes.length === length) return bytes
  const longer = new Uint8Array(length)
  longer.set(bytes)
  return longer
}
