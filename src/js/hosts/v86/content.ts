import type { Qcow2 } from '../../index.js'
import { checksum } from './record.js'

/** v86 guesses the geometry from the first sector, which it wants at once. */
export const sectorSize = 512
/** The last sector of a CD may reach past the end of its image. */
const padding = 2048
/** Where a CD names its volume and says when it was made. */
const volumeDescriptor = { offset: 32768, length: 2048 }

/** What the disk holds: the bytes of the image, its first sector at hand, and how much of what was written is durable. */
export class Content {
  readonly image: Qcow2
  /** The write cache, as the guest sees it; `undefined` where the drive has none. Without it, each write is durable at once. */
  writeCache: boolean | undefined
  #size: number
  #firstSector: Uint8Array<ArrayBuffer> | undefined
  #identity = ''
  /** Counts writes, to know which of them a flush has made durable. */
  #writes = 0
  #durable = 0

  constructor(image: Qcow2, writeCache: boolean) {
    this.image = image
    this.writeCache = writeCache && !image.readOnly ? true : undefined
    this.#size = image.size
  }

  get size(): number {
    return this.#size
  }

  /** Tells a disk that is not writable from others: a checksum of its first bytes. */
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

  async read(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    await this.image.readInto(offset, this.#inside(bytes, offset), { signal })
    return bytes
  }

  readSync(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.image.readIntoSync(offset, this.#inside(bytes, offset))
    return bytes
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#writes += 1
    await this.image.write(offset, bytes)
    this.#keepFirstSector(offset, bytes)
    if (this.writeCache !== true) await this.flush()
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.#writes += 1
    this.image.writeSync(offset, bytes)
    this.#keepFirstSector(offset, bytes)
    if (this.writeCache === true) return
    this.image.flushSync()
    this.#durable = this.#writes
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
    await this.load()
  }

  /** Bytes of the first sector, without waiting; `undefined` for all others. */
  atHand(offset: number, length: number): Uint8Array | undefined {
    return offset + length <= sectorSize ? this.#firstSector?.slice(offset, offset + length) : undefined
  }

  #keepFirstSector(offset: number, bytes: Uint8Array): void {
    if (offset < sectorSize) this.#firstSector?.set(bytes.subarray(0, sectorSize - offset), offset)
  }

  /** The part of a range that the image has; the rest of its last sector reads as zeros. */
  #inside(bytes: Uint8Array, offset: number): Uint8Array {
    const over = offset + bytes.length - this.#size
    return over > 0 && over < padding && offset < this.#size ? bytes.subarray(0, bytes.length - over) : bytes
  }
}
