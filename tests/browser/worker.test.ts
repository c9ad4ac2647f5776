import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { check, disk } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

const live: Work<[boolean, string], unknown> = async (qcow2, worker, name) => {
  const { check, opfs, Qcow2, repair } = qcow2
  const seen: unknown[] = []
  const MiB = 1024 * 1024
  const image = await Qcow2.create(opfs(name, { create: true }), { size: 4 * MiB, compression: 'zstd', worker })
  const first = new Uint8Array(100_000).fill(1)
  await image.write(1000, first)
  // More than crosses at one time.
  await image.resize(16 * MiB)
  const long = new Uint8Array(9 * MiB).fill(2)
  await image.write(5 * MiB, long)
  seen.push([first.length, long.length, image.size, image.readOnly, image.closed])

  const vmState = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let part = 0; part < 3; part += 1) controller.enqueue(new Uint8Array(70_000).fill(part + 1))
      controller.close()
    },
  })
  const date = new Date('2024-02-29T12:00:00Z')
  const progress: number[] = []
  const taken = await image.snapshots.create('one', { date, vmState, onProgress: ({ done }) => progress.push(done) })
  seen.push(taken, progress.length > 0, Object.isFrozen(taken))

  await image.writeCompressed(2 * MiB, new Uint8Array(2 * 65536).fill(3))
  await image.writeZeroes(0, 65536, { unmap: true })
  await image.discard(6 * MiB, 2 * MiB)
  await image.flush()
  await image.snapshots.create('two')
  await image.snapshots.rename('two', 'three')
  await image.snapshots.delete('three')
  seen.push((await image.snapshots.list()).map((each) => each.name))

  const view = await image.snapshots.open('one')
  const state = await view.vmState.read(69_999, 70_002)
  seen.push([view.size, view.vmState.size, state[0], state[1], state[70_001]])
  seen.push(Array.from(await view.read(999, 3)), Array.from(await image.read(999n, 3)))
  await view.close()

  const into = new Uint8Array(8).subarray(2, 6)
  await image.readInto(2 * MiB - 2, into)
  seen.push(Array.from(new Uint8Array(into.buffer)))
  let streamed = 0
  for await (const chunk of image.readable({ offset: MiB, length: 2 * MiB, chunkSize: 100_000 })) {
    for (const byte of chunk) streamed += byte
  }
  const extents = []
  for await (const extent of image.map({ length: 8 * MiB })) extents.push(extent)
  const changed = []
  for await (const extent of image.diff('one')) changed.push(extent)
  seen.push(streamed, extents, changed)
  seen.push(await image.locate(2 * MiB), await image.info(), await image.check())

  await image.snapshots.apply('one')
  seen.push(Array.from(await image.read(999, 3)), image.size)
  await image.close()
  seen.push(image.closed)
  seen.push(await check(opfs(name), { worker }))
  seen.push((await repair(opfs(name), 'all', { worker })).after.verdict)
  await fetch(`/${name}`, { method: 'PUT', body: await opfs.file(name) })
  return seen
}

it.runIf(hasOpfs)('all that is done with an image is the same in a worker', async () => {
  const [here, there] = [await lab.onPage(live, false, 'here.qcow2'), await lab.onPage(live, true, 'there.qcow2')]
  expect(there).toEqual(here)
  expect(check(lab.file('there.qcow2'))).toBe('clean')
  expect(Buffer.compare(readFileSync(lab.file('there.qcow2')), readFileSync(lab.file('here.qcow2')))).toBe(0)
  expect(disk(lab.file('there.qcow2')).subarray(999, 1002)).toEqual(Buffer.from([0, 1, 1]))
})

describe('in a worker', () => {
  it.runIf(hasOpfs)('there are many images, of which each does its own', async () => {
    const seen = await lab.onPage(async ({ memory, opfs, Qcow2 }) => {
      let started = 0
      globalThis.Worker = class extends Worker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args)
          started += 1
        }
      }
      const size = 10 * 65536
      const storages = Array.from({ length: 12 }, (_, index) =>
        index % 2 ? memory() : opfs(`many/${index}`, { create: true }),
      )
      const images = await Promise.all(storages.map((storage) => Qcow2.create(storage, { size, worker: true })))
      const all = images.map(async (image, index) => {
        const writes = Array.from({ length: 10 }, (_, part) =>
          image.write(part * 65536, new Uint8Array(65536).fill(10 * index + part)),
        )
        await Promise.all(writes)
        await image.snapshots.create(`of ${index}`)
        const reads = Array.from({ length: 10 }, (_, part) => image.read(part * 65536 + index, 1))
        const bytes = (await Promise.all(reads)).map(([byte]) => byte)
        const [snapshot] = await image.snapshots.list()
        return bytes.every((byte, part) => byte === 10 * index + part) && snapshot?.name === `of ${index}`
      })
      const right = await Promise.all(all)
      await Promise.all(images.map((image) => image.close()))
      return [right.every(Boolean), images.length, started]
    })
    expect(seen).toEqual([true, 12, 1])
  })

  it.runIf(hasOpfs)('what takes long lets others have their turn, and ends when it is aborted', async () => {
    const seen = await lab.onPage(async ({ opfs, Qcow2 }) => {
      const [large, small] = await Promise.all(
        ['large', 'small'].map((name) =>
          Qcow2.create(opfs(`turns/${name}`, { create: true }), { size: 65536, worker: true }),
        ),
      )
      if (!large || !small) throw new Error('two')
      const controller = new AbortController()
      const GiB = 1024 ** 3
      const growing = large.resize(4 * GiB, { preallocation: 'full', signal: controller.signal })
      const outcome = growing.then(
        () => 'grown',
        (error) => error.name,
      )
      // Of another image, asked for and answered while the first one is at work.
      const others = []
      for (let count = 0; count < 3; count += 1) others.push((await small.read(0, 1))[0])
      const before = (await large.info()).fileSize
      controller.abort()
      const aborted = await outcome
      await large.close()
      await small.close()
      const { size } = await opfs.file('turns/large')
      await opfs.delete('turns')
      return [others, before < GiB, aborted, size < GiB]
    })
    expect(seen).toEqual([[0, 0, 0], true, 'AbortError', true])
  })

  it('nothing is synchronous', async () => {
    const codes = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const image = await Qcow2.create(memory(), { size: 65536, worker: true })
      const code = (call: () => unknown) => {
        try {
          return String(call())
        } catch (error) {
          return isQcow2Error(error) ? error.code : String(error)
        }
      }
      const calls = [() => image.readSync(0, 1), () => image.writeSync(0, new Uint8Array(1)), () => image.flushSync()]
      const seen = [image.sync, ...calls.map(code)]
      await image.close()
      return seen
    })
    expect(codes).toEqual([false, 'NOT_SYNC', 'NOT_SYNC', 'NOT_SYNC'])
  })

  it('what can’t be given to it is refused', async () => {
    const code = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const options = { worker: true, cacheSize: { tables: Symbol('many') as never } }
      return Qcow2.open(memory(), options).catch((error) => isQcow2Error(error) && error.code)
    })
    expect(code).toBe('INVALID_ARGUMENT')
  })
})
