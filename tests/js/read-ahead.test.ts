import { describe, expect, it } from 'vitest'
import { isQcow2Error } from '../../src/js/base/errors.js'
import { isKeeping } from '../../src/js/base/storage/contract.js'
import type { ReadAheadOptions } from '../../src/js/storage/cache/limits.js'
import { readAhead } from '../../src/js/storage/cache/read-ahead.js'
import { Random } from './helpers/random.js'
import { bytesAt, CountedStorage, HeldStorage, settle } from './helpers/storages.js'

const KiB = 1024
const MiB = 1024 * KiB
const { signal } = new AbortController()

describe('requests', () => {
  it('are widened to blocks, within the file', async () => {
    const held = new HeldStorage(40 * KiB)
    const storage = readAhead(held, { block: 16 * KiB, window: 0 })
    void storage.read(0, 1, { signal })
    void storage.read(20 * KiB, 4 * KiB, { signal })
    void storage.read(36 * KiB, 10, { signal })
    await settle()
    expect(held.ranges).toEqual([
      [0, 16 * KiB],
      [16 * KiB, 24 * KiB],
    ])
  })

  it('made in the same turn and near to each other become one, except the first, which goes immediately', async () => {
    const held = new HeldStorage(16 * MiB)
    const storage = readAhead(held, { block: 4 * KiB, gap: 64 * KiB, window: 0 })
    await storage.size()
    const offsets = [0, 100 * KiB, 160 * KiB, 4 * MiB, 170 * KiB]
    const reads = offsets.map((offset) => storage.read(offset, 4 * KiB, { signal }))
    expect(held.ranges).toEqual([[0, 4 * KiB]])
    await settle()
    expect(held.ranges).toEqual([
      [0, 4 * KiB],
      [100 * KiB, 76 * KiB],
      [4 * MiB, 4 * KiB],
    ])
    for (const request of held.requests) request.answer()
    for (const [index, bytes] of (await Promise.all(reads)).entries()) {
      expect(bytes).toEqual(bytesAt(offsets[index] ?? -1, 4 * KiB))
    }
  })

  it('for bytes on their way wait for these', async () => {
    const held = new HeldStorage(16 * MiB)
    const storage = readAhead(held, { block: 64 * KiB, window: 0 })
    const first = storage.read(0, 64 * KiB, { signal })
    await settle()
    const second = storage.read(10 * KiB, 60 * KiB, { signal })
    await settle()
    expect(held.ranges).toEqual([
      [0, 64 * KiB],
      [64 * KiB, 64 * KiB],
    ])
    for (const request of held.requests) request.answer()
    expect(await first).toEqual(bytesAt(0, 64 * KiB))
    expect(await second).toEqual(bytesAt(10 * KiB, 60 * KiB))
  })

  it('for what is kept ask for nothing', async () => {
    const counted = new CountedStorage(bytesAt(0, 64 * KiB))
    const storage = readAhead(counted)
    await storage.read(0, 4 * KiB, { signal })
    expect(await storage.read(100, 1000, { signal })).toEqual(bytesAt(100, 1000))
    expect(counted.requests).toBe(1)
  })

  it('for what is kept need no waiting, and predict what is next like all others', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = readAhead(held, { window: 1 * MiB })
    if (!isKeeping(storage)) throw new Error('it keeps nothing')
    const into = new Uint8Array(64 * KiB)
    expect(storage.readKept(0, into)).toBe(false)
    for (const offset of [0, 64 * KiB]) void storage.read(offset, 64 * KiB, { signal })
    await settle()
    expect(storage.readKept(0, into)).toBe(false)
    for (const request of held.requests.splice(0)) request.answer()
    await settle()
    expect(storage.readKept(32 * KiB, into)).toBe(true)
    expect(into).toEqual(bytesAt(32 * KiB, 64 * KiB))
    expect(storage.readKept(128 * KiB, into)).toBe(true)
    expect(into).toEqual(bytesAt(128 * KiB, 64 * KiB))
    await settle()
    expect(held.ranges[0]?.[0]).toBe(256 * KiB)
    expect(storage.readKept(256 * KiB, into)).toBe(false)
  })

  it('past the end are left to the storage', async () => {
    const storage = readAhead(new CountedStorage(bytesAt(0, 1000)))
    await expect(storage.read(900, 101, { signal })).rejects.toThrow(RangeError)
    expect(await storage.read(900, 100, { signal })).toEqual(bytesAt(900, 100))
  })

  it('of no bytes, and larger than the budget, pass', async () => {
    const counted = new CountedStorage(bytesAt(0, 100 * KiB))
    const storage = readAhead(counted, { budget: 64 * KiB })
    expect(await storage.read(0, 0, { signal })).toEqual(new Uint8Array())
    expect(await storage.read(0, 100 * KiB, { signal })).toEqual(bytesAt(0, 100 * KiB))
  })
})

describe('a sequential reader', () => {
  it('of small lengths leads to few, large requests', async () => {
    const counted = new CountedStorage(bytesAt(0, 8 * MiB))
    const storage = readAhead(counted, { window: 1 * MiB })
    for (let offset = 0; offset < 8 * MiB; offset += 4 * KiB) await storage.read(offset, 4 * KiB, { signal })
    expect(counted.bytes).toBe(8 * MiB)
    expect(counted.requests).toBeLessThan(20)
  })

  it('finds the next window on its way before it has used up the last', async () => {
    const held = new HeldStorage(64 * MiB)
    const storage = readAhead(held, { window: 1 * MiB })
    let answered = 0
    for (let offset = 0; offset < 8 * MiB; offset += 64 * KiB) {
      const read = storage.read(offset, 64 * KiB, { signal })
      await settle()
      const ahead = held.requests.at(-1)
      if (offset >= 2 * MiB) expect(ahead && ahead.offset + ahead.length).toBeGreaterThanOrEqual(offset + 1 * MiB)
      for (const request of held.requests.slice(answered)) request.answer()
      answered = held.requests.length
      expect(Buffer.compare(await read, bytesAt(offset, 64 * KiB))).toBe(0)
    }
  })

  it('does not push out what others use', async () => {
    const counted = new CountedStorage(new Uint8Array(32 * MiB))
    const storage = readAhead(counted, { budget: 4 * MiB })
    await storage.read(31 * MiB, 4 * KiB, { signal })
    for (let offset = 0; offset < 16 * MiB; offset += 64 * KiB) await storage.read(offset, 64 * KiB, { signal })
    const { requests } = counted
    await storage.read(31 * MiB, 4 * KiB, { signal })
    expect(counted.requests).toBe(requests)
  })
})

describe('random reads', () => {
  it('lead to one small request each', async () => {
    const counted = new CountedStorage(new Uint8Array(256 * MiB))
    const storage = readAhead(counted, { block: 16 * KiB })
    const random = new Random(7)
    const reads = 500
    for (let count = 0; count < reads; count += 1) {
      await storage.read(random.below((256 * MiB) / 4096) * 4096, 4096, { signal })
    }
    expect(counted.requests).toBeLessThanOrEqual(reads * 1.05)
    expect(counted.bytes).toBeLessThan(reads * 24 * KiB)
  })
})

describe('an aborted read', () => {
  it('rejects with the reason, and aborts the request that no other read waits for', async () => {
    const held = new HeldStorage(1 * MiB)
    const storage = readAhead(held, { window: 0 })
    const controller = new AbortController()
    const read = storage.read(0, 100, { signal: controller.signal })
    await settle()
    controller.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    expect(held.requests[0]?.signal.aborted).toBe(true)
  })

  it('leaves the request to the reads that still wait for it', async () => {
    const held = new HeldStorage(1 * MiB)
    const storage = readAhead(held, { window: 0 })
    const controller = new AbortController()
    const aborted = storage.read(0, 100, { signal: controller.signal })
    const patient = storage.read(50, 100, { signal })
    await settle()
    controller.abort()
    await expect(aborted).rejects.toThrow()
    expect(held.requests.map((request) => request.signal.aborted)).toEqual([false])
    held.requests[0]?.answer()
    expect(await patient).toEqual(bytesAt(50, 100))
  })

  it('does no harm to the next one for the same bytes', async () => {
    const held = new HeldStorage(1 * MiB)
    const storage = readAhead(held, { window: 0 })
    const controller = new AbortController()
    const aborted = storage.read(0, 100, { signal: controller.signal })
    await settle()
    controller.abort()
    const next = storage.read(0, 100, { signal })
    await expect(aborted).rejects.toThrow()
    await settle()
    held.requests.at(-1)?.answer()
    expect(await next).toEqual(bytesAt(0, 100))
  })
})

describe('a failure', () => {
  it('reaches all reads that wait, and is forgotten', async () => {
    const held = new HeldStorage(1 * MiB)
    const storage = readAhead(held, { window: 0 })
    const reads = [storage.read(0, 100, { signal }), storage.read(200, 100, { signal })]
    await settle()
    const error = new Error('gone')
    held.requests[0]?.fail(error)
    for (const result of await Promise.allSettled(reads)) expect(result).toEqual({ status: 'rejected', reason: error })
    const again = storage.read(0, 100, { signal })
    await settle()
    held.requests[1]?.answer()
    expect(await again).toEqual(bytesAt(0, 100))
  })

  it('ahead of a reader fails only the read that needs those bytes', async () => {
    const held = new HeldStorage(16 * MiB)
    const storage = readAhead(held, { block: 4 * KiB })
    for (const offset of [0, 64 * KiB]) {
      const read = storage.read(offset, 64 * KiB, { signal })
      await settle()
      held.requests.find((request) => request.offset === offset)?.answer()
      await read
    }
    const ahead = held.requests.at(-1)
    expect(ahead?.offset).toBe(128 * KiB)
    ahead?.fail(new Error('a hole'))
    await settle()
    const read = storage.read(128 * KiB, 4 * KiB, { signal })
    await settle()
    const again = held.requests.findLast((request) => request.offset === 128 * KiB)
    expect(again).not.toBe(ahead)
    again?.answer()
    expect(await read).toEqual(bytesAt(128 * KiB, 4 * KiB))
  })

  it.each([
    ['too short', new Uint8Array(5)],
    ['too long', new Uint8Array(500_000)],
    ['no bytes', 'text'],
  ])('is an answer that is %s', async (_, answer) => {
    const held = new HeldStorage(1 * MiB)
    const read = readAhead(held).read(0, 100, { signal })
    await settle()
    held.requests[0]?.answer(answer as Uint8Array)
    const error = await read.catch((thrown) => thrown)
    expect(isQcow2Error(error) && error.code).toBe('STORAGE_CONTRACT')
  })
})

it('closing aborts what is on its way, and closes the storage', async () => {
  const held = new HeldStorage(1 * MiB)
  const storage = readAhead(held)
  const read = storage.read(0, 100, { signal })
  await settle()
  await storage.close?.()
  await expect(read).rejects.toThrow()
  expect(held.closed).toBe(1)
})

it('closing for one user leaves what is on its way to the others', async () => {
  const held = new HeldStorage(1 * MiB)
  const storage = readAhead(held)
  await storage.open?.()
  await storage.open?.()
  const read = storage.read(0, 100, { signal })
  await settle()
  await storage.close?.()
  held.requests[0]?.answer()
  expect(await read).toEqual(bytesAt(0, 100))
  expect([held.opened, held.closed]).toEqual([2, 1])
})

it('refuses options that are no numbers of bytes', () => {
  const storage = new HeldStorage(0)
  for (const name of ['budget', 'window', 'block', 'gap']) {
    for (const value of [-1, 1.5, Number.NaN, '1', 2 ** 60]) {
      expect(() => readAhead(storage, { [name]: value })).toThrow(/INVALID_ARGUMENT/)
    }
  }
})

describe.each(['async', 'sync'] as const)('%s: whatever the requests', (kind) => {
  it('the bytes are the right ones', async () => {
    const size = 300_000
    const file = bytesAt(0, size)
    for (let seed = 1; seed <= 40; seed += 1) {
      const random = new Random(seed)
      const options: ReadAheadOptions = {
        budget: random.pick([0, 1000, 50_000, 500_000]),
        window: random.pick([0, 4096, 100_000]),
        block: random.pick([1, 512, 10_000]),
        gap: random.pick([0, 100, 20_000]),
      }
      const counted = new CountedStorage(file)
      const asynchronous = readAhead(counted, options)
      const synchronous = readAhead(counted.sync(), options)
      const read = (offset: number, length: number) => {
        if (kind === 'async') return asynchronous.read(offset, length, { signal })
        const into = new Uint8Array(length)
        synchronous.readSync(offset, into)
        return into
      }
      let next = 0
      for (let step = 0; step < 60; step += 1) {
        const batch = Array.from({ length: 1 + random.below(5) }, () => {
          const offset = random.below(3) > 0 ? next : random.below(size)
          const length = Math.min(random.below(random.pick([10, 5000, 60_000])), size - offset)
          next = offset + length
          return { offset, length, bytes: read(offset, length) }
        })
        for (const { offset, length, bytes } of batch) {
          expect(Buffer.compare(await bytes, file.subarray(offset, offset + length))).toBe(0)
        }
      }
    }
  })
})

it('sync: what is ahead comes together with what was asked for', () => {
  const counted = new CountedStorage(bytesAt(0, 8 * MiB))
  const storage = readAhead(counted.sync(), { window: 1 * MiB })
  const into = new Uint8Array(4 * KiB)
  for (let offset = 0; offset < 8 * MiB; offset += 4 * KiB) storage.readSync(offset, into)
  expect(counted.bytes).toBe(8 * MiB)
  expect(counted.requests).toBeLessThan(20)
})
