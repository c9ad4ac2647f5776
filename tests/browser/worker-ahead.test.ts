import { readFileSync } from 'node:fs'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import type { Page } from './drivers/driver.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'
import { type Ground, prepare } from './watched-disk.js'

const { lab, server } = useServedLab(readFileSync(convert('image.qcow2', contents(16 * 1024 * 1024, 5))))

describe('an image in a worker that is only read', () => {
  let page: Page

  beforeAll(async () => {
    page = await lab.page()
    await onPage(page, prepare)
  })

  const run = <A extends unknown[], T>(work: Work<A, T>, ...args: A): Promise<T> => onPage(page, work, ...args)

  it.each([
    [4096, 1, true],
    [65536, 1, false],
    [65536, 16, true],
    [100_000, 3, true],
    [512 * 1024, 2, false],
    [1, 1, false],
  ])('is read ahead, each byte once: %i bytes at a time, %i reads at once, into given arrays: %s', async (...how) => {
    const [wrong, asked, total, size] = await run(
      async (_, length, depth, given) => {
        const { disk, open, right } = (globalThis as unknown as { ground: Ground }).ground
        const { image, file } = await open()
        const size = length === 1 ? 3000 : disk.length
        const wrong: number[] = []
        let at = 0
        const reader = async () => {
          while (at < size) {
            const offset = at
            const count = Math.min(length, size - offset)
            at += count
            const into = new Uint8Array(count)
            const bytes = given ? await image.readInto(offset, into).then(() => into) : await image.read(offset, count)
            if (bytes.length !== count || !right(offset, bytes)) wrong.push(offset)
          }
        }
        await Promise.all(Array.from({ length: depth }, reader))
        const total = file.total()
        await image.close()
        return [wrong, file.asked.length, total, size] as const
      },
      ...how,
    )
    expect(wrong).toEqual([])
    if (how[0] === 1) {
      // The last window reaches beyond where this one stops, by less than was read.
      expect(total).toBeLessThan(3 * size)
      expect(asked).toBeLessThan(30)
    } else {
      expect(total).toBe(size)
      // Two reads, the windows until the largest one, and those of that.
      expect(asked).toBeLessThan(2 + 8 + 10)
    }
  })

  it('is read ahead for several readers at a time, and others between them', async () => {
    const [right, total, read] = await run(async () => {
      const { disk, open, right } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      const all: boolean[] = []
      let read = 0
      const quarter = 1024 * 1024
      for (let at = 0; at < quarter; at += 65536) {
        for (const start of [at, 2 * quarter + at]) all.push(right(start, await image.read(start, 65536)))
        // Back to front.
        const other = disk.length - 2 * at - 512
        all.push(right(other, await image.read(other, 512)))
        read += 2 * 65536 + 512
      }
      const total = file.total()
      await image.close()
      return [all.every(Boolean), total, read]
    })
    expect(right).toBe(true)
    // Two windows for each.
    expect(total).toBeLessThanOrEqual(Number(read) + 4 * 512 * 1024)
    expect(total).toBeGreaterThan(Number(read))
  })

  it('is asked for no more than is read, where that is not in order', async () => {
    const seen = await run(async () => {
      const { disk, open } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      const seen: Record<string, number> = {}
      const read = async (name: string, offsets: readonly number[], length: number) => {
        const before = file.total()
        for (const offset of offsets) await image.readInto(offset, new Uint8Array(length))
        await Promise.all(offsets.map((offset) => image.read(offset, length)))
        // Whatever was asked for was asked for before this.
        await image.locate(0)
        seen[name] = file.total() - before - 2 * offsets.length * length
      }
      const numbers = Array.from({ length: 200 }, (_, index) => index)
      await read(
        'random',
        numbers.map((index) => (index * 1_234_577) % (disk.length - 4096)),
        4096,
      )
      await read(
        'backwards',
        numbers.map((index) => (200 - index) * 4096),
        4096,
      )
      await read(
        'the same',
        numbers.map(() => 3_000_001),
        4096,
      )
      await read(
        'with gaps',
        numbers.map((index) => index * 8192),
        4096,
      )
      await read('long ones', [0, 1024 * 1024, 2 * 1024 * 1024], 1024 * 1024)
      await image.close()
      return seen
    })
    expect(seen).toEqual({ random: 0, backwards: 0, 'the same': 0, 'with gaps': 0, 'long ones': 0 })
  })

  it('is read ahead in proportion to what was read, and by two windows at most', async () => {
    const seen = await run(async () => {
      const { open } = (globalThis as unknown as { ground: Ground }).ground
      const seen: [number, number][] = []
      for (const count of [1, 2, 3, 5, 20, 40]) {
        const { image, file } = await open()
        for (let index = 0; index < count; index += 1) await image.read(index * 65536, 65536)
        await image.locate(0)
        seen.push([count, file.total() / 65536 - count])
        await image.close()
      }
      return seen
    })
    for (const [count, more] of seen) expect(more).toBeLessThanOrEqual(count === 1 ? 0 : Math.min(3 * count, 16))
  })

  it('is streamed no further ahead than four chunks', async () => {
    const asked = await run(async () => {
      const { open } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      const reader = image.readable({ chunkSize: 65536 }).getReader()
      const asked: number[] = []
      for (let taken = 1; taken <= 20; taken += 1) {
        await reader.read()
        await image.locate(0)
        asked.push(file.total() / 65536 - taken)
      }
      await image.close()
      return asked
    })
    expect(Math.max(...asked)).toBeLessThanOrEqual(4)
  })

  it('the abort of one read leaves another of the same segment alone', async () => {
    const seen = await run(async () => {
      const { open, outcome, right } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      await image.read(0, 65536)
      file.hold()
      const second = image.read(65536, 65536)
      const controller = new AbortController()
      const aborted = outcome(image.read(2 * 65536, 65536, { signal: controller.signal }))
      const into = new Uint8Array(65536)
      const other = image.readInto(3 * 65536, into).then(() => into)
      controller.abort('enough')
      const seen = [await aborted]
      file.held?.release()
      seen.push(right(65536, await second), right(3 * 65536, await other))
      // Also what is here is not for those who have given up.
      for (const at of [4, 5, 6]) await image.read(at * 65536, 65536)
      seen.push(await outcome(image.read(7 * 65536, 65536, { signal: AbortSignal.abort('before') })))
      await image.close()
      return seen
    })
    expect(seen).toEqual(['enough', true, true, 'before'])
  })

  it.each([1, 3])('what no read waits for any more is aborted: with %i reads', async (count) => {
    const seen = await run(async (_, count) => {
      const { open, outcome } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      await image.read(0, 65536)
      file.hold()
      const controller = new AbortController()
      const { signal } = controller
      const reads = Array.from({ length: count }, (_, at) => outcome(image.read((at + 1) * 65536, 65536, { signal })))
      await image.locate(0)
      const asked = file.asked.length
      controller.abort('enough')
      const outcomes = await Promise.all(reads)
      await image.locate(0)
      const { aborted } = file
      file.held?.release()
      await image.close()
      return [outcomes, asked - aborted, asked > 2]
    }, count)
    // All but the first read.
    expect(seen).toEqual([Array(count).fill('enough'), 1, true])
  })

  it('what can’t be read ahead fails only the reads that want it', async () => {
    const seen = await run(async () => {
      const { disk, open, outcome, right } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      file.broken = ((await image.locate(20 * 65536)).hostOffset ?? 0) + 5
      const seen: unknown[] = []
      for (let at = 0; at < disk.length; at += 65536) {
        const read = image.read(at, Math.min(65536, disk.length - at))
        const code = await outcome(read)
        if (code !== 'done') seen.push([at / 65536, code])
        else if (!right(at, await read)) seen.push([at / 65536, 'wrong'])
      }
      // All at once.
      const all = Array.from({ length: 64 }, (_, at) => outcome(image.readInto(at * 65536, new Uint8Array(65536))))
      for (const [at, code] of (await Promise.all(all)).entries()) if (code !== 'done') seen.push([at, code])
      await image.close()
      return seen
    })
    expect(seen).toEqual([
      [20, 'STORAGE'],
      [20, 'STORAGE'],
    ])
  })

  it('what waits for a segment fails when the image is closed, or the worker gone', async () => {
    const seen = await run(async ({ Qcow2 }) => {
      const { open, outcome } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      const wait = async (of: typeof image) => {
        await of.read(0, 65536)
        file.hold()
        return [1, 2, 3, 4].map((at) => outcome(of.read(at * 65536, 65536)))
      }
      const reads = await wait(image)
      await image.close()
      const seen = [await Promise.all(reads), file.closed, await outcome(image.read(5 * 65536, 65536))]
      file.held?.release()
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      const other = await Qcow2.open(file, { worker })
      const others = await wait(other)
      worker.terminate()
      seen.push(await Promise.all(others), await outcome(other.close()))
      return seen
    })
    expect(seen).toEqual([Array(4).fill('CLOSED'), true, 'CLOSED', Array(4).fill('WORKER_DIED'), 'done'])
  })

  it('an array that is given away meanwhile is refused, and the others are filled', async () => {
    const seen = await run(async () => {
      const { open, outcome, right } = (globalThis as unknown as { ground: Ground }).ground
      const { image, file } = await open()
      await image.read(0, 65536)
      file.hold()
      const arrays = [1, 2, 3].map(() => new Uint8Array(65536))
      const reads = arrays.map((array, index) => outcome(image.readInto((index + 1) * 65536, array)))
      await image.locate(0)
      structuredClone(arrays[1], { transfer: [arrays[1]?.buffer as ArrayBuffer] })
      file.held?.release()
      const outcomes = await Promise.all(reads)
      await image.close()
      return [outcomes, right(65536, arrays[0] as Uint8Array), right(3 * 65536, arrays[2] as Uint8Array)]
    })
    expect(seen).toEqual([['done', 'INVALID_ARGUMENT', 'done'], true, true])
  })
})

it('an image in a worker that may change is not read ahead, nor are its snapshots; those of another one are', async () => {
  const seen = await lab.onPage(async ({ memory, Qcow2 }) => {
    const made = memory()
    const size = 1024 * 1024
    const image = await Qcow2.create(made, { size, worker: true })
    await image.write(0, new Uint8Array(size).fill(1))
    await image.snapshots.create('one')
    const bytes: number[] = []
    for (let at = 0; at < size; at += 65536) {
      bytes.push((await image.read(at, 65536))[0] ?? 0)
      await image.write(at + 65536 < size ? at + 65536 : 0, new Uint8Array([2]))
    }
    await image.close()

    let asked = 0
    const file = {
      size: () => made.size(),
      async read(offset: number, length: number) {
        asked += length
        return made.bytes().slice(offset, offset + length)
      },
      write: async () => {},
      truncate: async () => {},
      flush: async () => {},
    }
    const more: number[] = []
    for (const writable of [true, false]) {
      const open = await Qcow2.open(file, { writable, worker: true })
      const view = await open.snapshots.open('one')
      for (const each of [open, view]) {
        await each.locate(size - 1)
        asked = 0
        for (const at of [0, 1, 2, 3]) await each.read(at * 65536, 65536)
        await each.locate(size - 1)
        more.push(asked / 65536 - 4)
      }
      await view.close()
      await open.close()
    }
    return [bytes, more.map((each) => each > 0)]
  })
  expect(seen).toEqual([
    [1, ...Array(15).fill(2)],
    [false, false, true, true],
  ])
})

it.each([
  ['in order', true, 65536, 1],
  ['in order, with odd lengths', true, 100_001, 3],
  ['in long pieces', true, 3_000_000, 2],
  ['in order, of clusters that are compressed', false, 65536, 4],
])('a Blob is read ahead in its own arrays: %s', async (_, noise, length, depth) => {
  const wrong = await lab.onPage(
    async ({ blob, memory, Qcow2 }, noise, length, depth) => {
      // More than the largest window, and no whole cluster at its end.
      const disk = new Uint8Array(24 * 1024 * 1024 + 512)
      if (noise) for (let at = 0; at < disk.length; at += 65536) crypto.getRandomValues(disk.subarray(at, at + 65536))
      else for (let at = 0; at < disk.length; at += 1) disk[at] = at >> 10
      const made = memory()
      const image = await Qcow2.create(made, { size: disk.length })
      if (noise) image.writeSync(0, disk)
      else
        for (let at = 0; at < disk.length; at += 65536) await image.writeCompressed(at, disk.subarray(at, at + 65536))
      await image.close()

      const open = await Qcow2.open(blob(new Blob([made.bytes().slice()])), { worker: true })
      const wrong: number[] = []
      for (const from of [0, 1]) {
        let next = from
        const reader = async () => {
          while (next < disk.length) {
            const at = next
            next += length
            const bytes = await open.read(at, Math.min(length, disk.length - at))
            if (!bytes.every((byte, index) => byte === disk[at + index])) wrong.push(at)
          }
        }
        await Promise.all(Array.from({ length: depth }, reader))
      }
      await open.close()
      return wrong
    },
    noise,
    length,
    depth,
  )
  expect(wrong).toEqual([])
})

it('a Blob is streamed from a worker, whole and in slices, until it is aborted or closed', async () => {
  const seen = await lab.onPage(async ({ blob, isQcow2Error, memory, Qcow2 }) => {
    const disk = new Uint8Array(24 * 1024 * 1024 + 512)
    for (let at = 0; at < disk.length; at += 65536) crypto.getRandomValues(disk.subarray(at, at + 65536))
    const made = memory()
    const image = await Qcow2.create(made, { size: disk.length })
    image.writeSync(0, disk)
    // A hole between two runs.
    await image.discard(10 * 1024 * 1024, 65536)
    disk.fill(0, 10 * 1024 * 1024, 10 * 1024 * 1024 + 65536)
    await image.close()

    const open = await Qcow2.open(blob(new Blob([made.bytes().slice()])), { worker: true })
    const same = async (stream: ReadableStream<Uint8Array>, start: number, length: number) => {
      const bytes = new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())
      return bytes.length === length && bytes.every((byte, at) => byte === disk[start + at])
    }
    const seen: unknown[] = [await same(open.readable(), 0, disk.length)]
    const { reads, bytesRead } = await open.statistics()
    seen.push(reads, bytesRead === disk.length)
    const slice = open.slice(1_000_000, 20_000_000).slice(5)
    const ranges = [0, 1, 2, 3].map((part) => ({ offset: part * 4_000_000, length: 3_999_999, chunkSize: 100_000 }))
    const all = ranges.map((range) => same(slice.readable(range), 1_000_005 + range.offset, range.length))
    seen.push(await Promise.all(all))
    const outcome = (read: Promise<unknown>) =>
      read.then(
        () => 'read',
        (error) => (isQcow2Error(error) ? error.code : error),
      )
    const stop = new AbortController()
    const aborted = open.readable({ signal: stop.signal }).getReader()
    await aborted.read()
    stop.abort('enough')
    seen.push(await outcome(aborted.read()))
    const closed = open.readable({ chunkSize: 65536 }).getReader()
    await closed.read()
    await open.close()
    const rest: unknown[] = []
    for (let chunk = 0; chunk < 8; chunk += 1) rest.push(await outcome(closed.read()))
    seen.push(rest.at(-1))
    return seen
  })
  expect(seen).toEqual([true, 25, true, [true, true, true, true], 'enough', 'CLOSED'])
})

describe('of a server', () => {
  beforeEach(() => {
    server.requests.length = 0
  })

  /** Reads a part of the disk in order, and returns nothing. */
  const readAll: Work<[string, boolean, number], void> = async ({ http, Qcow2 }, url, worker, end) => {
    const image = await Qcow2.open(http(url), { worker })
    const into = new Uint8Array(65536)
    for (let at = 0; at < end; at += into.length) await image.readInto(at, into)
    await image.close()
  }
  const asked = () =>
    server.requests
      .map((each) => /bytes=(\d+)-(\d+)$/.exec(each))
      .reduce((sum, range) => sum + (range ? Number(range[2]) + 1 - Number(range[1]) : 0), 0)

  it('hardly more is asked for than by an engine on the page', async () => {
    const bytes: number[] = []
    for (const worker of [false, true]) {
      server.requests.length = 0
      await lab.onPage(readAll, server.url, worker, 16 * 1024 * 1024)
      bytes.push(asked())
    }
    const [here = 0, there = 0] = bytes
    expect(here).toBeGreaterThan(server.file.length / 2)
    expect(there).toBeLessThan(1.01 * here)
  })
})
