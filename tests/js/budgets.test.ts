import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type AsyncStorage, convert, type WritableAsyncStorage } from '../../src/js/index.js'
import { BufferPool } from '../../src/js/worker/buffer-pool.js'
import { Tracked } from './helpers/garbage.js'
import { Random } from './helpers/random.js'

const MiB = 1024 * 1024

/** Measures what a conversion holds: what it has read, and has not written yet. The bytes cannot be compressed. */
class Flow {
  #read = 0
  #written = 0
  /** The most that was held, in bytes. */
  most = 0

  source(size: number): AsyncStorage {
    return {
      size: () => size,
      read: async (_, length) => {
        // Parts that begin the file to see what it is are read again.
        if (length >= 4096) this.#read += length
        this.most = Math.max(this.most, this.#read - this.#written)
        return randomBytes(length)
      },
    }
  }

  /** A target so slow that the conversion has all the time to read on. */
  target(): WritableAsyncStorage {
    const file = new Uint8Array(80 * MiB)
    let size = 0
    return {
      size: () => size,
      read: async (offset, length) => file.slice(offset, offset + length),
      write: async (offset, bytes) => {
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
        size = Math.max(size, offset + bytes.length)
        file.set(bytes, offset)
        this.#written += bytes.length
      },
      truncate: async (to) => {
        size = to
      },
      flush: async () => {},
    }
  }
}

describe('memory follows budgets, and not what is asked for', () => {
  it.each([
    // Two parts, of 1 MiB or of a cluster: one is read while the other is written.
    ['plain', { compressed: false }, 2],
    ['plain, into clusters of 2 MiB', { compressed: false, clusterSize: 2 * MiB }, 4],
    // One for each of Node's four threads.
    ['compressed', { compressed: true }, 4],
    ['compressed, into clusters of 2 MiB', { compressed: true, clusterSize: 2 * MiB }, 8],
    ['compressed here', { compressed: true, compression: 'zstd', workers: 0 }, 1],
  ] as const)('a conversion, %s', async (_, options, limit) => {
    const flow = new Flow()
    await convert(flow.source(64 * MiB), flow.target(), { sourceFormat: 'raw', ...options })
    expect(flow.most).toBeGreaterThan(MiB / 2)
    expect(flow.most).toBeLessThanOrEqual(limit * MiB)
  })

  it('the buffers that a page keeps for its worker hold 4 MiB at most', async () => {
    const pool = new BufferPool()
    const random = new Random(7)
    const buffers = new Tracked<ArrayBuffer>()
    for (let round = 0; round < 2000; round += 1) {
      const length = random.pick([0, 512, 4096, 65536, MiB, 6 * MiB])
      if (random.below(3) === 0) pool.take(length)
      else pool.keep(buffers.note(new ArrayBuffer(length)))
    }
    await buffers.alive()
    const lengths = buffers.survivors().map(({ byteLength }) => byteLength)
    expect(lengths.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(4 * MiB)
    expect(lengths.filter((each) => each === 0)).toEqual([])
  })
})
