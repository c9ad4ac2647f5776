import type { AsyncStorage, StorageOpenOptions } from '../../base/storage/contract.js'
import { Shared } from '../shared.js'
import { blockSize, type CachedFile, RangeCache } from './range-cache.js'

/** A storage whose bytes come from far away. */
export interface Remote extends AsyncStorage {
  size(): number
  /** Which file in which state it is, once it is open; `undefined` if another state could have the same one. */
  state(): CachedFile | undefined
}

/** Keeps what was read of a storage in the browser, block by block, and reads it from there the next time. */
export class CachedStorage implements AsyncStorage {
  readonly #storage: Remote
  readonly #opened

  /** `budget` is in bytes, for all files together. */
  constructor(storage: Remote, budget: number) {
    this.#storage = storage
    this.#opened = new Shared(
      async (signal) => {
        await storage.open?.({ signal })
        const state = storage.state()
        return { cache: state && (await RangeCache.open(state, budget)) }
      },
      async ({ cache }) => {
        await cache?.close()
        await storage.close?.()
      },
    )
  }

  open(options?: StorageOpenOptions): Promise<void> {
    return this.#opened.open(options)
  }

  size(): number {
    return this.#storage.size()
  }

  identity(): string | undefined {
    return this.#storage.identity?.()
  }

  async read(offset: number, length: number, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    const { cache } = this.#opened.current
    const end = offset + length
    if (!cache || length === 0 || end > this.size()) return this.#storage.read(offset, length, options)
    const [first, last] = [Math.floor(offset / blockSize), Math.floor((end - 1) / blockSize)]
    const found = await cache.blocks(first, last)
    const bytes = new Uint8Array(length)
    const put = (at: number, part: Uint8Array) => {
      const skip = Math.max(0, offset - at)
      const left = end - at
      bytes.set(part.subarray(skip, Math.min(part.length, left)), at + skip - offset)
    }
    for (const [number, block] of found) put(number * blockSize, block)
    const fetched = missing(first, last, found).map(async (run) => {
      const start = run.first * blockSize
      const part = await this.#storage.read(start, Math.min((run.last + 1) * blockSize, this.size()) - start, options)
      put(start, part)
      cache.keep(blocksOf(part, run.first))
    })
    await Promise.all(fetched)
    return bytes
  }

  close(): Promise<void> {
    return this.#opened.close()
  }
}

interface Run {
  readonly first: number
  readonly last: number
}

/** The blocks from `first` to `last` that were not found, in runs. */
function missing(first: number, last: number, found: ReadonlyMap<number, unknown>): Run[] {
  const runs: Run[] = []
  for (let number = first; number <= last; number += 1) {
    if (found.has(number)) continue
    const run = runs.at(-1)
    if (run && run.last === number - 1) runs[runs.length - 1] = { ...run, last: number }
    else runs.push({ first: number, last: number })
  }
  return runs
}

/** Bytes that begin with the block `first`, as blocks; copies, so that each is kept alone. */
function blocksOf(bytes: Uint8Array, first: number): Map<number, Uint8Array> {
  const blocks = new Map<number, Uint8Array>()
  for (let at = 0; at < bytes.length; at += blockSize) {
    blocks.set(first + at / blockSize, bytes.slice(at, at + blockSize))
  }
  return blocks
}
