import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AsyncStorage, http, type PrefetchList, prefetched, Qcow2Error, recorded } from '../../src/js/index.js'
import { Random } from './helpers/random.js'
import { FileServer } from './helpers/server.js'
import { bytesAt, CountedStorage, HeldStorage, settle } from './helpers/storages.js'

const KiB = 1024
const MiB = 1024 * KiB
const { signal } = new AbortController()

describe('a recorded storage', () => {
  it('lists what was read, in order and once', async () => {
    const storage = recorded(new CountedStorage(new Uint8Array(1 * MiB)))
    for (const [offset, length] of [
      [300 * KiB, 10],
      [0, 70 * KiB],
      [128 * KiB, 1],
      [301 * KiB, 10],
    ] as const) {
      await storage.read(offset, length, { signal })
    }
    const list = [
      [256 * KiB, 64 * KiB],
      [0, 192 * KiB],
    ]
    expect(storage.list()).toEqual(list)
    expect(JSON.parse(JSON.stringify(storage.list()))).toEqual(list)
  })
})

describe('a prefetched storage', () => {
  it('fetches along the list, in few requests at one time, and no further ahead than it may', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[10 * MiB, 16 * MiB]], { ahead: 8 * MiB })
    await storage.open?.()
    const answer = async () => {
      for (const request of held.requests.splice(0)) request.answer()
      await settle()
    }
    expect(held.ranges).toEqual([10, 12, 14].map((at) => [at * MiB, 2 * MiB]))
    await answer()
    expect(held.ranges).toEqual([[16 * MiB, 2 * MiB]])
    await answer()
    // The reader has not come; elsewhere doesn't count.
    void storage.read(0, 10, { signal })
    expect(held.ranges).toEqual([[0, 10]])
    await answer()
    void storage.read(14 * MiB, 10, { signal })
    expect(held.ranges).toEqual([
      [18 * MiB, 2 * MiB],
      [14 * MiB, 10],
    ])
  })

  it('fetches what a reader needs before its turn immediately, and whole', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[10 * MiB, 16 * MiB]])
    await storage.open?.()
    held.requests.splice(0)
    void storage.read(23 * MiB, 10, { signal })
    void storage.read(22 * MiB, 10, { signal })
    expect(held.ranges).toEqual([
      [22 * MiB, 2 * MiB],
      [23 * MiB, 10],
      [22 * MiB, 10],
    ])
    await storage.close?.()
  })

  it('goes along the list once, however many open it together', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[10 * MiB, 16 * MiB]])
    await Promise.all([storage.open?.(), storage.open?.()])
    expect(held.ranges).toEqual([10, 12, 14].map((at) => [at * MiB, 2 * MiB]))
    await storage.close?.()
    expect(held.requests.some((request) => request.signal.aborted)).toBe(false)
    await storage.close?.()
    expect(held.requests.every((request) => request.signal.aborted)).toBe(true)
    expect(held.closed).toBe(held.opened)
  })

  it('is closed again where its length can not be had', async () => {
    const counted = new CountedStorage(new Uint8Array(10))
    const unmeasured = Object.assign(counted, { size: () => Promise.reject(new Error('no length')) })
    await expect(prefetched(unmeasured as AsyncStorage, []).open?.()).rejects.toThrow('no length')
    expect(counted.closed).toBe(1)
  })

  it('leaves out what the file does not have', async () => {
    const held = new HeldStorage(3 * MiB)
    const list: PrefetchList = [
      [0, 64 * KiB],
      [2 * MiB, 4 * MiB],
    ]
    const storage = prefetched(held, list)
    await storage.open?.()
    expect(held.ranges).toEqual([
      [0, 64 * KiB],
      [2 * MiB, 1 * MiB],
    ])
  })

  it('fetches neighbours together, in the order of the first need', async () => {
    const held = new HeldStorage(64 * MiB)
    const near = [5, 1, 3].map((at) => [at * 128 * KiB, 64 * KiB] as const)
    const storage = prefetched(held, [[9 * MiB, 64 * KiB], ...near, [30 * MiB, 1], [0, 1], [3 * 128 * KiB, 2 * MiB]])
    await storage.open?.()
    expect(held.ranges).toEqual([
      [9 * MiB, 64 * KiB],
      [0, 2 * MiB],
      [30 * MiB, 1],
    ])
    held.requests[0]?.answer()
    await settle()
    expect(held.ranges.at(-1)).toEqual([2 * MiB, 3 * 128 * KiB])
    await storage.close?.()
  })

  it('stops when it is closed, and begins anew for the next user', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[0, 8 * MiB]])
    await storage.open?.()
    await storage.open?.()
    await storage.close?.()
    expect(held.requests.map((request) => request.signal.aborted)).toEqual([false, false, false])
    await storage.close?.()
    await settle()
    expect(held.requests.map((request) => request.signal.aborted)).toEqual([true, true, true])
    await storage.open?.()
    expect(held.requests.length).toBe(6)
    await storage.close?.()
    expect(held.requests.at(-1)?.signal.aborted).toBe(true)
    expect([held.opened, held.closed]).toEqual([2, 2])
  })

  it('skips only a part that can not be fetched, and leaves it to the reader', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[0, 40 * MiB]], { ahead: 6 * MiB })
    await storage.open?.()
    const fetched: number[] = []
    for (let at = 0; at < 40; at += 2) {
      const index = held.ranges.findIndex(([offset]) => offset === at * MiB)
      const [request] = held.requests.splice(index, 1)
      if (at === 6) request?.fail(new Error('gone'))
      else request?.answer()
      await settle()
      fetched.push((request?.offset ?? -1) / MiB)
      void storage.read(at * MiB, 2 * MiB, new AbortController()).catch(() => {})
      const read = held.requests.findLast(({ offset }) => offset === at * MiB)
      expect(read?.length).toBe(2 * MiB)
      held.requests.splice(held.requests.indexOf(read as never), 1)
    }
    expect(fetched).toEqual(Array.from({ length: 20 }, (_, index) => 2 * index))
    await storage.close?.()
  })

  it('waits for its reader when several parts in a row can not be fetched', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[0, 40 * MiB]])
    await storage.open?.()
    const failAll = async () => {
      while (held.requests.length > 0) {
        for (const request of held.requests.splice(0)) request.fail(new Error('offline'))
        await settle()
      }
    }
    await failAll()
    expect(held.requests).toEqual([])
    void storage.read(50 * MiB, 10, { signal })
    expect(held.ranges.length).toBe(4)
    await storage.close?.()
  })

  it.each(['FILE_CHANGED', 'NO_RANGES'] as const)('stops where nothing can be fetched any more (%s)', async (code) => {
    const held = new HeldStorage(64 * MiB)
    const storage = prefetched(held, [[0, 40 * MiB]])
    await storage.open?.()
    held.requests[0]?.fail(new Qcow2Error(code, 'No more.'))
    await settle()
    expect(held.requests.map((request) => request.signal.aborted)).toEqual([true, true, true])
    await storage.close?.()
  })

  it.each([
    ['no list', 'text'],
    ['no pair', [5]],
    ['no number', [['a', 5]]],
  ])('takes a list, not %s', (_, list) => {
    expect(() => prefetched(new HeldStorage(1), list as unknown as PrefetchList)).toThrow(/INVALID_ARGUMENT/)
  })
})

describe('over HTTP', () => {
  let server: FileServer
  beforeEach(async () => {
    server = await new FileServer(bytesAt(0, 24 * MiB)).start()
  })
  afterEach(() => server.stop())

  it('a start takes few requests, and larger ones ahead of need the next time', async () => {
    // As machines start: clusters here and there, in small reads.
    const random = new Random(11)
    const reads = Array.from({ length: 60 }, () => random.below(300) * 64 * KiB).flatMap((at) =>
      Array.from({ length: 16 }, (_, index) => at + index * 4 * KiB),
    )
    const start = async (storage: ReturnType<typeof http>) => {
      await storage.open?.()
      for (const offset of reads) {
        expect(Buffer.compare(await storage.read(offset, 4 * KiB, { signal }), bytesAt(offset, 4 * KiB))).toBe(0)
      }
      await storage.close?.()
      return server.requests.splice(0).length
    }
    const recording = recorded(http(server.url))
    expect(await start(recording)).toBeLessThan(reads.length / 10)
    const again = prefetched(http(server.url), recording.list())
    await again.open?.()
    // The largest piece is there before the first read, with the file's beginning.
    const ahead = () => server.requests.map((request) => request.split('=')[1]?.split('-').map(Number) ?? [])
    await expect.poll(() => ahead().some(([from = 0, to = 0]) => to - from > 300 * KiB)).toBe(true)
    await start(again)
    await again.close?.()
  })
})
