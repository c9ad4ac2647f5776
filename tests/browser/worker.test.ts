import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { check, contents, convert, disk } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'

const size = 3 * 1024 * 1024
const bytes = contents(size, 5)
const image = convert('image.qcow2', bytes, '-c')
const { lab, server } = useServedLab(readFileSync(image))

/** Everything that one does with an image; what it came to. Then the file is put to the server. */
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
  seen.push([first.length, long.length, image.size, image.writable, image.closed])

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
  seen.push(image.snapshots.map((each) => each.name))

  const view = await image.snapshots.open('one')
  const state = await view.readVmState(69_999, 70_002)
  seen.push([view.size, view.writable, view.vmStateSize, state[0], state[1], state[70_001]])
  seen.push(Array.from(await view.read(999, 3)), Array.from(await image.read(999n, 3)))
  await view.close()

  const into = new Uint8Array(8).subarray(2, 6)
  seen.push((await image.read(2 * MiB - 2, into)) === into, Array.from(new Uint8Array(into.buffer)))
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

describe.each([
  ['on the page', false],
  ['in a worker', true],
])('an engine %s', (_, worker) => {
  it.runIf(hasOpfs)('reads every kind of storage', async () => {
    const seen = await lab.onPage(
      async (qcow2, worker, url) => {
        const { blob, draft, fileHandle, http, idb, memory, opfs, prefetched, Qcow2, readAhead, recorded } = qcow2
        const file = await (await fetch(url)).blob()
        const whole = new Uint8Array(await file.arrayBuffer())
        await opfs.import('kind', file, { overwrite: true })
        const root = await navigator.storage.getDirectory()
        const stored = idb('kind')
        await stored.open?.()
        if (!('read' in stored)) throw new Error('asynchronous')
        await stored.write(0, whole.slice(), new AbortController())
        await stored.flush()
        await stored.close?.()
        const list = [[0, 65536]] as const
        const storages = {
          blob: blob(file),
          draft: draft(blob(file)),
          fetchFn: http(url, { fetchFn: (address, init) => fetch(address, init) }),
          fileHandle: fileHandle(await root.getFileHandle('kind')),
          headers: http(url, { requestInit: { headers: new Headers({ accept: '*/*' }) } }),
          http: http(new URL(url), { signal: new AbortController().signal }),
          idb: stored,
          memory: memory(whole),
          opfs: opfs('kind', { writable: false }),
          own: { size: () => whole.length, read: async (at: number, length: number) => whole.slice(at, at + length) },
          prefetched: prefetched(http(url), list),
          readAhead: readAhead(memory(whole)),
          recorded: recorded(blob(file)),
        }
        const hashes = new Map<string, string[]>()
        for (const [name, storage] of Object.entries(storages)) {
          const image = await Qcow2.open(storage, { worker })
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await image.read(0, image.size))).join()
          hashes.set(hash, [...(hashes.get(hash) ?? []), name])
          await image.close()
        }
        // What was given stays whole.
        return [[...hashes.values()], whole.length === file.size]
      },
      worker,
      server.url,
    )
    const all = 'blob draft fetchFn fileHandle headers http idb memory opfs own prefetched readAhead recorded'
    expect(seen).toEqual([[all.split(' ')], true])
  })

  it('fills the arrays that it is given, whatever their lengths', async () => {
    const wrong = await lab.onPage(
      async ({ http, Qcow2 }, worker, url) => {
        const image = await Qcow2.open(http(url), { worker })
        const whole = await image.read(0, image.size)
        const wrong: number[] = []
        const lengths = [1, 4096, 65536, 0, 65537]
        for (let round = 0; round < 40; round += 1) {
          const reads = lengths.map(async (length, index) => {
            const offset = (round * 70_001 + index * 500_009) % (image.size - length)
            const room = new Uint8Array(length + 2).fill(round)
            const into = await image.read(offset, room.subarray(1, length + 1))
            const same = into.every((byte, at) => byte === whole[offset + at])
            if (!same || room[0] !== round || room[length + 1] !== round) wrong.push(offset)
          })
          await Promise.all(reads)
        }
        await image.close()
        return wrong
      },
      worker,
      server.url,
    )
    expect(wrong).toEqual([])
  })

  it('writes to what stays on the page', async () => {
    const seen = await lab.onPage(async ({ draft, memory, Qcow2 }, worker) => {
      const file = memory()
      const image = await Qcow2.create(file, { size: 1_000_000, worker })
      await image.write(10, new Uint8Array([1, 2, 3]))
      await image.close()
      const edited = draft(memory(file.bytes()))
      const again = await Qcow2.open(edited, { writable: true, worker })
      await again.write(11, new Uint8Array([9]))
      await again.close()
      const both = [await Qcow2.open(file), await Qcow2.open(edited)]
      return both.map((each) => Array.from(each.readSync(9, 5)))
    }, worker)
    expect(seen).toEqual([
      [0, 1, 2, 3, 0],
      [0, 1, 9, 3, 0],
    ])
  })

  it('asks for backing files, by what is recorded', async () => {
    const seen = await lab.onPage(async (qcow2, worker) => {
      const { isQcow2Error, memory, Qcow2 } = qcow2
      const files = [memory(), memory(), memory()] as const
      const size = 1_000_000
      const base = await Qcow2.create(files[0], { size })
      base.writeSync(0, new Uint8Array([1]))
      await base.close()
      for (const [index, name] of ['base', 'middle'].entries()) {
        const backing = { name, format: 'qcow2', storage: files.slice(0, index + 1).reverse() } as const
        const overlay = await Qcow2.create(files[index + 1] as (typeof files)[0], { size, backing, worker })
        await overlay.write((index + 1) * 65536, new Uint8Array([2 + index]))
        await overlay.close()
      }
      const asked: unknown[] = []
      const open = async (answer: (name: string) => unknown) => {
        try {
          const backing = (request: { name: string }) => {
            asked.push(request)
            return answer(request.name) as undefined
          }
          const image = await Qcow2.open(files[2], { backing, worker })
          const bytes = await image.read(0, size)
          await image.close()
          return [bytes[0], bytes[65536], bytes[131072]]
        } catch (error) {
          if (!isQcow2Error(error)) return String(error)
          return { code: error.code, file: error.file, cause: String(error.cause) }
        }
      }
      const found = await open((name) => (name === 'base' ? { storage: files[0], format: 'qcow2' } : files[1]))
      return [
        found,
        asked,
        await open(() => null),
        await open(() => undefined),
        await open(() => 17),
        await open(() => {
          throw new TypeError('not today')
        }),
      ]
    }, worker)
    expect(seen).toEqual([
      [1, 2, 3],
      [
        { name: 'middle', format: 'qcow2', depth: 1 },
        { name: 'base', format: 'qcow2', depth: 2 },
        ...Array(4).fill({ name: 'middle', format: 'qcow2', depth: 1 }),
      ],
      [0, 0, 3],
      { code: 'MISSING_BACKING_FILE', file: { name: 'middle', format: 'qcow2' }, cause: 'undefined' },
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      expect.objectContaining({ code: 'STORAGE', cause: 'TypeError: not today' }),
    ])
  })

  it.runIf(hasOpfs)('writes over a base', async () => {
    const seen = await lab.onPage(
      async ({ http, isQcow2Error, opfs, overlay, Qcow2 }, worker, url) => {
        await opfs.remove('over').catch(() => {})
        const base = await Qcow2.create(opfs('over/base', { create: true }), { size: 65536 })
        await base.write(0, new Uint8Array([1, 1]))
        await base.close()
        const seen: unknown[] = []
        for (const round of [1, 2]) {
          for (const name of ['near', 'far']) {
            const from = name === 'near' ? opfs('over/base') : http(url)
            const image = await overlay(from, opfs(`over/${name}`, { create: true }), { worker })
            if (round === 1) await image.write(1, new Uint8Array([7]))
            seen.push(Array.from(await image.read(0, 3)))
            await image.close()
          }
        }
        const other = overlay(opfs('over/base'), opfs('over/far'), { worker })
        return [
          ...seen,
          await other.then(
            () => 'open',
            (error) => isQcow2Error(error) && error.code,
          ),
        ]
      },
      worker,
      server.url,
    )
    const [near, far] = [
      [1, 7, 0],
      [bytes[0], 7, bytes[2]],
    ]
    expect(seen).toEqual([near, far, near, far, 'FILE_CHANGED'])
  })

  it.runIf(hasOpfs)('fails with errors that say all', async () => {
    const seen = await lab.onPage(async (qcow2, worker) => {
      const { blob, isQcow2Error, memory, opfs, Qcow2, Qcow2Error } = qcow2
      const seen: unknown[] = []
      const note = async (work: () => unknown) => {
        try {
          await work()
          seen.push('nothing')
        } catch (error) {
          if (!isQcow2Error(error)) seen.push(error)
          else {
            const { code, reason, offset, cause, name } = error
            seen.push([code, offset, error instanceof Qcow2Error, name, reason.length > 10, String(cause)])
          }
        }
      }
      const file = memory()
      const image = await Qcow2.create(file, { size: 65536 * 4, worker })
      await note(() => image.read(65536 * 4 - 1, 2))
      await note(() => image.read(0, 'two' as never))
      await note(() => image.write(0, 'two' as never))
      await note(() => image.resize(512))
      await note(() => image.snapshots.apply('none'))
      await note(() => image.snapshots.open('none'))
      await note(() => image.diff('none').next())
      await note(() => Qcow2.open(file, { worker }))
      await image.close()
      await note(() => image.read(0, 1))
      await note(() => image.map().next())
      await note(() => image.info())
      await note(() => Qcow2.create(memory(new Uint8Array(9), { writable: true }), { size: 1, worker }))
      await note(() => Qcow2.create(memory(), { size: 1, clusterSize: 3, worker }))
      await note(() => Qcow2.create(memory(), { size: 'x' as never, worker }))
      await note(() => Qcow2.open('disk.qcow2' as never, { worker }))
      await note(() => Qcow2.open(blob(new Blob(['no image'])), { worker }))
      await note(() => Qcow2.open(blob(new Blob(['x'])), { worker, writable: true }))
      await note(() => Qcow2.open(opfs('missing'), { worker }))
      const damaged = file.bytes().slice()
      const view = new DataView(damaged.buffer)
      // An entry of the L1 table that points between two clusters.
      view.setBigUint64(view.getUint32(44), (1n << 63n) | 512n)
      const broken = await Qcow2.open(memory(damaged), { worker })
      await note(() => broken.read(0, 1))
      await broken.close()
      const failing = (thrown: unknown) => ({ size: () => 100, read: () => Promise.reject(thrown) })
      await note(() => Qcow2.open(failing(new RangeError('own')), { worker }))
      await note(() => Qcow2.open(failing(new DOMException('full', 'QuotaExceededError')), { worker }))
      await note(() => Qcow2.open(failing(new Qcow2Error('NOT_PERMITTED', 'The user does not want it.')), { worker }))
      await note(() => Qcow2.open({ size: () => 100, read: async () => new Uint8Array(3) }, { worker }))
      return seen
    }, worker)
    const error = (code: string, offset?: unknown, cause = 'undefined') =>
      [code, offset, true, 'Qcow2Error', true, cause] as const
    expect(seen).toEqual([
      error('OUT_OF_BOUNDS', 65536 * 4 - 1),
      error('INVALID_ARGUMENT'),
      error('INVALID_ARGUMENT'),
      error('WOULD_SHRINK'),
      ...Array(3).fill(error('NO_SUCH_SNAPSHOT')),
      error('IN_USE'),
      ...Array(3).fill(error('CLOSED')),
      error('NOT_EMPTY'),
      error('BAD_OPTIONS'),
      error('INVALID_ARGUMENT'),
      error('INVALID_ARGUMENT'),
      error('NOT_QCOW2'),
      error('READ_ONLY'),
      error('STORAGE', undefined, expect.stringMatching(/^NotFoundError: /)),
      error('CORRUPT_L1_ENTRY', expect.any(Number)),
      error('STORAGE', undefined, 'RangeError: own'),
      error('QUOTA', undefined, 'QuotaExceededError: full'),
      error('NOT_PERMITTED'),
      error('STORAGE_CONTRACT'),
    ])
  })

  it('lets go of what is aborted, and says why', async () => {
    const seen = await lab.onPage(async ({ blob, isQcow2Error, memory, Qcow2 }, worker) => {
      const file = memory()
      const made = await Qcow2.create(file, { size: 1_000_000 })
      made.writeSync(0, new Uint8Array(1_000_000).fill(1))
      await made.close()
      const seen: unknown[] = []
      const reason = new Error('enough')
      const is = (error: unknown) => (error === reason ? 'the reason' : String(error))
      let hanging = false
      const waits: (() => void)[] = []
      const stuck = {
        size: () => file.size(),
        open: () => void seen.push('opened'),
        close: () => void seen.push('closed'),
        async read(offset: number, length: number, { signal }: { signal: AbortSignal }) {
          if (hanging) {
            for (const wait of waits.splice(0)) wait()
            await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
            seen.push('the storage knows')
          }
          return file.bytes().slice(offset, offset + length)
        },
      }
      const asked = () => new Promise<void>((resolve) => waits.push(resolve))
      await Qcow2.open(blob(new Blob()), { signal: AbortSignal.abort(reason), worker }).catch((error) =>
        seen.push(is(error)),
      )
      const image = await Qcow2.open(stuck, { worker })
      hanging = true
      for (const start of [
        (signal: AbortSignal) => image.read(0, 1000, { signal }),
        (signal: AbortSignal) => image.map({ signal }).next(),
        (signal: AbortSignal) => image.readable({ offset: 500_000, signal }).getReader().read(),
      ]) {
        const controller = new AbortController()
        const under = asked()
        const pending = start(controller.signal)
        await under
        controller.abort(reason)
        seen.push(await pending.then(() => 'done', is))
      }
      const closing = asked()
      const left = image.read(0, 1000)
      await closing
      await Promise.all([
        left.catch((error) => seen.push(isQcow2Error(error) && error.code)),
        image.close().then(() => seen.push(image.closed)),
      ])
      // Opening is over when all is closed again.
      const controller = new AbortController()
      const under = asked()
      const opening = Qcow2.open(stuck, { signal: controller.signal, worker })
      await under
      controller.abort(reason)
      seen.push(await opening.then(() => 'done', is))
      seen.push(await Qcow2.open(stuck, { signal: AbortSignal.abort(reason), worker }).then(() => 'done', is))
      return seen
    }, worker)
    expect(seen.filter((each) => each === 'the reason')).toHaveLength(6)
    expect(seen.filter((each) => each === 'the storage knows')).toHaveLength(5)
    expect(seen).toContain('CLOSED')
    expect(seen.filter((each) => each === 'opened').length).toBe(seen.filter((each) => each === 'closed').length)
  })

  it('ends what its progress callback does not want, with what that throws', async () => {
    const seen = await lab.onPage(async ({ check, memory, Qcow2 }, worker) => {
      const file = memory()
      const image = await Qcow2.create(file, { size: 1_000_000, worker })
      const thrown = new Error('no more')
      const onProgress = () => {
        throw thrown
      }
      const told = await image.check({ onProgress }).catch((error) => error === thrown)
      const created = await image.snapshots.create('x', { onProgress }).catch((error) => error === thrown)
      const left = image.snapshots.length
      await image.close()
      return [told, created, left <= 1, await check(file, { onProgress, worker }).catch((error) => error === thrown)]
    }, worker)
    expect(seen).toEqual([true, true, true, true])
  })

  it('reads no further ahead than one chunk, and takes a state as fast as it is written', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }, worker) => {
      const image = await Qcow2.create(memory(), { size: 64 * 65536, worker })
      await image.write(0, new Uint8Array(64 * 65536).fill(1))
      let done = 0
      const stream = image.readable({ chunkSize: 65536, onProgress: (progress) => (done = progress.done) })
      const reader = stream.getReader()
      const ahead: number[] = []
      for (let taken = 1; taken <= 64; taken += 1) {
        await reader.read()
        // Whatever it would do meanwhile is done.
        for (let turn = 0; turn < 5; turn += 1) await image.read(0, 1)
        ahead.push(done / 65536 - taken)
      }
      let pulled = 0
      let written = 0
      const vmState = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            pulled += 1
            controller.enqueue(new Uint8Array(65536))
            if (pulled === 20) controller.close()
          },
        },
        { highWaterMark: 0 },
      )
      const taken = await image.snapshots.create('state', { vmState })
      written = taken.vmStateSize
      await image.close()
      return [Math.max(...ahead), pulled, written]
    }, worker)
    expect(seen).toEqual([1, 20, 20 * 65536])
  })

  it.runIf(hasOpfs)('lets another tab have its file', async () => {
    const [first, second] = [await lab.page(), await lab.page()]
    await onPage(
      first,
      async ({ opfs, Qcow2 }, worker, name) => {
        const storage = opfs(name, { create: true, onTakeOver: () => image.close() })
        const image = await Qcow2.create(storage, { size: 1_000_000, worker })
        await image.write(1000, new Uint8Array([1, 2, 3]))
        Object.assign(globalThis, { image })
      },
      worker,
      `shared ${worker}`,
    )
    const want: Work<[boolean, string, boolean], string> = async (
      { isQcow2Error, opfs, Qcow2 },
      worker,
      name,
      takeOver,
    ) => {
      try {
        const image = await Qcow2.open(opfs(name, { takeOver }), { writable: true, worker })
        const bytes = await image.read(1000, 3)
        await image.close()
        return bytes.join()
      } catch (error) {
        return isQcow2Error(error) ? error.code : String(error)
      }
    }
    expect(await onPage(second, want, worker, `shared ${worker}`, false)).toBe('IN_USE')
    expect(await onPage(second, want, worker, `shared ${worker}`, true)).toBe('1,2,3')
    const closed = await onPage(first, () => (globalThis as unknown as { image: { closed: boolean } }).image.closed)
    expect(closed).toBe(true)
    for (const page of [first, second]) await page.close()
  })
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
        const [snapshot] = image.snapshots
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
      await opfs.remove('turns')
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

  it.runIf(hasOpfs)('of one’s own that is ended, all that is pending fails; what was flushed is there', async () => {
    const seen = await lab.onPage(async ({ isQcow2Error, opfs, Qcow2 }) => {
      const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
      const start = () => new Worker('/worker/worker.js', { type: 'module' })
      const [first, second] = [start(), start()]
      // The worker's own messages are not the package's, nor the other way round.
      first.postMessage('hello')
      const open = { size: 1_000_000, worker: first }
      const image = await Qcow2.create(opfs('dying.qcow2', { create: true }), open)
      const other = await Qcow2.create(opfs('other.qcow2', { create: true }), open)
      const elsewhere = await Qcow2.create(opfs('elsewhere.qcow2', { create: true }), { ...open, worker: second })
      await image.write(0, new Uint8Array([1, 2, 3]))
      await image.flush()
      const walk = image.map()
      const pending = [image.write(0, new Uint8Array([4])), image.info(), walk.next(), image.snapshots.create('x')]
      const opening = Qcow2.open(opfs('dying.qcow2'), { worker: first })
      first.terminate()
      const codes = await Promise.all([...pending, opening].map((each) => each.then(() => 'done', code)))
      codes.push(await image.read(0, 1).then(() => 'done', code), await other.flush().then(() => 'done', code))
      codes.push(await image.close().then(() => 'done', code), await other.close().then(() => 'done', code))
      codes.push(await Qcow2.open(opfs('dying.qcow2'), { worker: first }).then(() => 'done', code))
      const alive = await elsewhere.read(0, 1).then(() => 'alive', code)
      await elsewhere.close()
      const again = await Qcow2.open(opfs('dying.qcow2'), { worker: true })
      const bytes = Array.from(await again.read(0, 3))
      await again.close()
      second.terminate()
      return [codes, alive, [1, 4].includes(bytes[0] ?? 0), bytes.slice(1)]
    })
    expect(seen).toEqual([Array(10).fill('WORKER_DIED'), 'alive', true, [2, 3]])
  })

  it('of one’s own that was ended before, opening fails', async () => {
    const code = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      // A minute is over when the test says so.
      const { setTimeout } = globalThis
      const minutes: (() => void)[] = []
      const later = (work: () => void, delay?: number) =>
        delay === 60_000 ? minutes.push(work) : setTimeout(work, delay)
      globalThis.setTimeout = later as typeof setTimeout
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      worker.terminate()
      const opening = Qcow2.create(memory(), { size: 1, worker })
      for (const over of minutes) over()
      return opening.then(
        () => 'open',
        (error) => (isQcow2Error(error) ? error.code : String(error)),
      )
    })
    expect(code).toBe('WORKER_DIED')
  })

  it('of one’s own that was ended before, opening can be aborted', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }) => {
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      worker.terminate()
      const storage = memory()
      const controller = new AbortController()
      const opening = Qcow2.create(storage, { size: 1, worker, signal: controller.signal })
      controller.abort(new Error('enough'))
      const reason = await opening.catch((error) => error.message)
      // The storage is free again.
      await (await Qcow2.create(storage, { size: 1 })).close()
      return reason
    })
    expect(seen).toBe('enough')
  })

  it('that is gone, a storage that stayed on the page is closed', async () => {
    const seen = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const file = memory()
      await (await Qcow2.create(file, { size: 65536 })).close()
      const seen: string[] = []
      const storage = {
        open: () => void seen.push('opened'),
        size: () => file.size(),
        // A part of an array that is its own.
        read: async (offset: number, length: number) => file.bytes().subarray(offset, offset + length),
        close: () => void seen.push('closed'),
      }
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      const image = await Qcow2.open(storage, { worker })
      worker.terminate()
      seen.push(
        await image.read(0, 1).then(
          () => 'done',
          (error) => (isQcow2Error(error) ? error.code : String(error)),
        ),
      )
      await image.close()
      return [...seen, file.bytes().length > 0]
    })
    expect(seen).toEqual(['opened', 'WORKER_DIED', 'closed', true])
  })

  it('whose script does not come, opening fails', async () => {
    lab.withheld = /worker\/worker\.js$/
    const code = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const storage = memory()
      const opening = Qcow2.create(storage, { size: 1, worker: true })
      const code = await opening.catch((error) => isQcow2Error(error) && error.code)
      // The storage is free again.
      const image = await Qcow2.create(storage, { size: 1 })
      await image.close()
      return code
    })
    lab.withheld = undefined
    expect(code).toBe('WORKER_DIED')
  })

  it('whose module does not come, opening fails, and may succeed later', async () => {
    const page = await lab.page()
    lab.withheld = /\.wasm$/
    const work: Work<[], string> = async ({ isQcow2Error, memory, Qcow2 }) => {
      try {
        const image = await Qcow2.create(memory(), { size: 1, worker: true })
        await image.close()
        return 'open'
      } catch (error) {
        return isQcow2Error(error) ? error.code : String(error)
      }
    }
    const first = await onPage(page, work)
    lab.withheld = undefined
    expect([first, await onPage(page, work)]).toEqual(['LOAD_FAILED', 'open'])
    await page.close()
  })

  it('what can’t be given to it is refused', async () => {
    const code = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const options = { worker: true, cacheSize: { tables: Symbol('many') as never } }
      return Qcow2.open(memory(), options).catch((error) => isQcow2Error(error) && error.code)
    })
    expect(code).toBe('INVALID_ARGUMENT')
  })
})
