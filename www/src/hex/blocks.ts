import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { ByteSource } from '../engine/protocol'

/** Bytes are fetched and kept in blocks: a Blob costs the same to read for one byte as for thousands. */
export const BLOCK = 16 * 1024
const SECTOR = 512
const MAX_BLOCKS = 128

export interface Block {
  bytes: Uint8Array
  /** What can't be read of it, and why, by sector. */
  bad: Map<number, string>
  /** Grows when its bytes are changed. */
  version: number
}

/** A byte, the reason why it can't be read, or `null` until it has arrived. */
export type Byte = number | string | null

/** The byte of a block at `within`. */
export function byteIn(block: Block | null, within: number): Byte {
  if (!block) return null
  return (block.bad.size > 0 && block.bad.get(Math.floor(within / SECTOR))) || (block.bytes[within] ?? null)
}

/** The bytes of one source, as far as they have been looked at. */
export class Blocks {
  /** Grows when something has arrived, so that what shows bytes shows them. */
  readonly arrived = signal(0)
  private readonly blocks = new Map<bigint, Block | 'loading'>()
  private readonly closing = new AbortController()

  constructor(
    private readonly source: ByteSource,
    readonly size: number,
  ) {}

  close(): void {
    this.closing.abort()
  }

  /** Returns the block with `offset`. Requests it if it isn't cached. */
  at(offset: bigint): Block | null {
    const index = offset / BigInt(BLOCK)
    const known = this.blocks.get(index)
    if (known === 'loading') return null
    if (known) {
      // Last used, last to go.
      this.blocks.delete(index)
      this.blocks.set(index, known)
      return known
    }
    this.blocks.set(index, 'loading')
    void this.load(index)
    return null
  }

  byte(offset: bigint): Byte {
    return byteIn(this.at(offset), Number(offset % BigInt(BLOCK)))
  }

  /** Shows another byte at `offset`, if it is there. */
  put(offset: bigint, byte: number): void {
    const block = this.blocks.get(offset / BigInt(BLOCK))
    if (block === undefined || block === 'loading') return
    block.bytes[Number(offset % BigInt(BLOCK))] = byte
    block.version += 1
    this.arrived.value++
  }

  /** Drops the block with `offset`, so that it is requested again when it is shown. */
  forget(offset: bigint): void {
    this.blocks.delete(offset / BigInt(BLOCK))
    this.arrived.value++
  }

  private async load(index: bigint): Promise<void> {
    const start = index * BigInt(BLOCK)
    const rest = BigInt(this.size) - start
    const length = rest < BigInt(BLOCK) ? Number(rest) : BLOCK
    const block = await this.readWhole(start, length)
    if (this.closing.signal.aborted) return
    this.blocks.set(index, block)
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= MAX_BLOCKS) break
      this.blocks.delete(oldest)
    }
    this.arrived.value++
  }

  private async readWhole(start: bigint, length: number): Promise<Block> {
    try {
      return { bytes: await engine.read(this.source, start, length, this.closing.signal), bad: new Map(), version: 0 }
    } catch (error) {
      if (this.closing.signal.aborted || length <= SECTOR) return unreadable(length, messageOf(error))
      return this.readSectors(start, length)
    }
  }

  /** One bad cluster must not hide its neighbours: tries sector by sector. */
  private async readSectors(start: bigint, length: number): Promise<Block> {
    const block: Block = { bytes: new Uint8Array(length), bad: new Map(), version: 0 }
    for (let at = 0; at < length && !this.closing.signal.aborted; at += SECTOR) {
      try {
        const count = Math.min(SECTOR, length - at)
        block.bytes.set(await engine.read(this.source, start + BigInt(at), count, this.closing.signal), at)
      } catch (error) {
        block.bad.set(at / SECTOR, messageOf(error))
      }
    }
    return block
  }
}

function unreadable(length: number, reason: string): Block {
  return { bytes: new Uint8Array(length), bad: new Map([[0, reason]]), version: 0 }
}
