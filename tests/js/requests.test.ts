import { readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { Engine } from '../../src/js/engine/engine.js'
import { editing } from '../../src/js/engine/modules.js'
import {
  type AsyncStorage,
  check,
  convert as convertDisk,
  inspect,
  isQcow2Error,
  memory,
  nodeFile,
  overlay,
  type Progress,
  Qcow2,
  readAhead,
  type SyncStorage,
  type WritableAsyncStorage,
} from '../../src/js/index.js'
import { countedSignal } from './helpers/listeners.js'
import { contents, convert, create } from './helpers/qemu.js'
import { CountedStorage, HeldStorage, LaterHeldStorage, readOnly, settle } from './helpers/storages.js'

const MiB = 1024 * 1024
const bytes = contents(3 * MiB, 31)
const path = convert('image.qcow2', bytes)
const raw = readFileSync(path)
/** An image that keeps its data in another file. */
const divided = readFileSync(create('divided.qcow2', MiB, '-o', 'data_file=divided.raw'))
const over = readFileSync(create('over.qcow2', MiB, '-b', path, '-F', 'qcow2'))

/** An image over a storage that answers until `hold` is set, and then only when the test says so. */
async function held(): Promise<{ image: Qcow2; storage: HeldStorage; hold: () => void }> {
  const storage = new LaterHeldStorage(raw)
  const image = await Qcow2.open(storage)
  // The tables are loaded by now.
  for (let offset = 0; offset < bytes.length; offset += 64 * 1024) await image.read(offset, 1)
  return { image, storage: storage.held, hold: () => storage.hold() }
}

describe('an aborted read', () => {
  it('rejects with the reason, and aborts the request of the storage', async () => {
    const { image, storage, hold } = await held()
    hold()
    const controller = new AbortController()
    const read = image.read(0, bytes.length, { signal: controller.signal })
    await settle()
    expect(storage.requests.length).toBeGreaterThan(0)
    controller.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    expect(storage.requests.every(({ signal }) => signal.aborted)).toBe(true)
    await image.close()
  })

  it('leaves others alone', async () => {
    const { image, storage, hold } = await held()
    hold()
    const controller = new AbortController()
    const aborted = image.read(0, 100, { signal: controller.signal })
    const other = image.read(0, 100)
    await settle()
    controller.abort()
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    const alive = storage.requests.filter(({ signal }) => !signal.aborted)
    expect(alive.length).toBe(1)
    for (const { offset, length, answer } of alive) answer(raw.subarray(offset, offset + length))
    expect(Buffer.compare(await other, bytes.subarray(0, 100))).toBe(0)
    await image.close()
  })

  it('asks for nothing where the signal is aborted before', async () => {
    const counted = new CountedStorage(raw)
    await using image = await Qcow2.open(counted)
    const { requests } = counted
    await expect(image.read(0, 1, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
    await expect(image.info({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
    expect(counted.requests).toBe(requests)
  })

  it('may be opening', async () => {
    const storage = new HeldStorage(raw.length)
    const controller = new AbortController()
    const opening = Qcow2.open(storage, { signal: controller.signal })
    await storage.asked
    controller.abort(new Error('never mind'))
    await expect(opening).rejects.toThrow('never mind')
    expect(storage.requests[0]?.signal.aborted).toBe(true)
    expect([storage.opened, storage.closed]).toEqual([1, 1])
  })

  it.each<[string, (storage: WritableAsyncStorage, options: { signal: AbortSignal }) => Promise<unknown>]>([
    ['open', (storage, options) => Qcow2.open(storage, options)],
    ['open, of a data file', (dataFile, options) => Qcow2.open(memory(divided), { ...options, dataFile })],
    ['open, of a backing file', (backing, options) => Qcow2.open(memory(over), { ...options, backing })],
    ['create', (storage, options) => Qcow2.create(storage, { size: MiB, ...options })],
    ['check', (storage, options) => check(storage, options)],
    ['inspect', (storage, options) => inspect(storage, options)],
    ['overlay, of a base', (storage, options) => overlay(storage, memory(), options)],
    ['overlay', (storage, options) => overlay(memory(raw), storage, options)],
    ['convert, from', (storage, options) => convertDisk(storage, memory(), options)],
    ['convert, to', (storage, options) => convertDisk(memory(raw), storage, options)],
    ['convert, to a raw file', (storage, options) => convertDisk(memory(raw), storage, { format: 'raw', ...options })],
  ])('does not wait for a storage that takes its time to get ready: %s', async (_, call) => {
    let [ready, opened, closed] = [() => {}, 0, 0]
    let told: AbortSignal | undefined
    const storage: WritableAsyncStorage = {
      open({ signal } = {}) {
        opened += 1
        told = signal
        return new Promise<void>((resolve) => {
          ready = resolve
        })
      },
      size: () => 0,
      read: () => Promise.reject(new Error('read')),
      write: () => Promise.reject(new Error('written')),
      truncate: () => Promise.reject(new Error('resized')),
      flush: () => Promise.reject(new Error('flushed')),
      close() {
        closed += 1
      },
    }
    await expect(call(storage, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
    expect(opened).toBe(0)

    const controller = new AbortController()
    const pending = call(storage, { signal: controller.signal })
    pending.catch(() => {})
    await vi.waitUntil(() => opened === 1)
    expect(told?.aborted).toBe(false)
    controller.abort(new Error('enough'))
    expect(told?.reason).toEqual(new Error('enough'))
    await expect(pending).rejects.toThrow('enough')
    expect(closed).toBe(0)
    ready()
    await settle()
    expect([opened, closed]).toEqual([1, 1])
  })

  it('aborts what a read-ahead has asked for', async () => {
    const storage = new HeldStorage(raw.length)
    const controller = new AbortController()
    const opening = Qcow2.open(readAhead(storage), { signal: controller.signal })
    await storage.asked
    controller.abort(new Error('enough'))
    await expect(opening).rejects.toThrow('enough')
    expect(storage.requests.map(({ signal }) => signal.aborted)).toEqual([true])
  })

  it('does not open a storage that was supplied too late', async () => {
    const late = new HeldStorage(raw.length)
    let supply: (storage: AsyncStorage) => void = () => {}
    const controller = new AbortController()
    const opening = new Promise<void>((asked) => {
      const backing = () => {
        asked()
        return new Promise<AsyncStorage>((resolve) => {
          supply = resolve
        })
      }
      Qcow2.open(memory(over), { backing, signal: controller.signal }).catch(() => {})
    })
    await opening
    controller.abort()
    await settle()
    supply(late)
    await settle()
    expect([late.opened, late.closed]).toEqual([0, 0])
  })

  it('leaves no listener on the signal', async () => {
    await using image = await Qcow2.open(new CountedStorage(raw))
    const { signal, listeners } = countedSignal()
    await image.read(0, 1000, { signal })
    for await (const _ of image.readable({ signal, length: 5 * 65_536, chunkSize: 65_536 }));
    expect(listeners()).toBe(0)
  })
})

describe('close()', () => {
  it('fails what is in flight and what comes later, and closes the storage once', async () => {
    const { image, storage, hold } = await held()
    hold()
    const read = image.read(0, 100)
    await settle()
    const closing = image.close()
    expect(image.closed).toBe(true)
    await expect(read).rejects.toMatchObject({ code: 'CLOSED' })
    await Promise.all([closing, image.close()])
    expect(storage.requests[0]?.signal.aborted).toBe(true)
    expect(storage.closed).toBe(1)
    await expect(image.read(0, 1)).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(image.info()).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(image.locate(0)).rejects.toMatchObject({ code: 'CLOSED' })
    expect(() => image.readSync(0, 1)).toThrow(/CLOSED/)
    await expect(image.map().next()).rejects.toThrow(/CLOSED/)
    await expect(new Response(image.readable()).arrayBuffer()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('rejects with what the storage throws', async () => {
    const error = new Error('still busy')
    const storage: SyncStorage = { ...readOnly(raw), close: () => Promise.reject(error) }
    const image = await Qcow2.open(storage)
    await expect(image.close()).rejects.toBe(error)
  })

  it('lets a storage of this package be given again', async () => {
    for (const storage of [memory(raw), nodeFile(path), nodeFile(path, { sync: true })]) {
      for (let times = 0; times < 2; times += 1) {
        const image = await Qcow2.open(storage)
        expect(Buffer.compare(await image.read(0, 100), bytes.subarray(0, 100))).toBe(0)
        await image.close()
      }
    }
  })

  it('of one image leaves a file open for another', async () => {
    const storage = nodeFile(path)
    const [first, second] = await Promise.all([Qcow2.open(storage), Qcow2.open(storage)])
    await first.close()
    expect(Buffer.compare(await second.read(0, 100), bytes.subarray(0, 100))).toBe(0)
    await second.close()
  })
})

it('an engine that fails rejects every task that waits', async () => {
  const engine = new Engine(await editing(), async () => undefined)
  const waiting = new Promise((resolve, reject) => engine.wait(1, { resolve, reject }))
  vi.spyOn(engine.wasm, 'answer').mockImplementation(() => {
    throw new WebAssembly.RuntimeError('unreachable')
  })
  engine.answer(1, undefined)
  await expect(waiting).rejects.toMatchObject({ code: 'ENGINE_FAILED', cause: { message: 'unreachable' } })
})

describe('an array that is transferred while it is filled', () => {
  it('fails that read only', async () => {
    const { image, storage, hold } = await held()
    hold()
    const into = new Uint8Array(100)
    const read = image.readInto(0, into)
    await settle()
    structuredClone(into, { transfer: [into.buffer] })
    for (const { offset, length, answer } of storage.requests) answer(raw.subarray(offset, offset + length))
    await expect(read).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const again = image.read(0, 100)
    await settle()
    for (const { offset, length, answer } of storage.requests.slice(1)) answer(raw.subarray(offset, offset + length))
    expect(Buffer.compare(await again, bytes.subarray(0, 100))).toBe(0)
    await image.close()
  })
})

describe('readable()', () => {
  it('streams the disk in chunks', async () => {
    await using image = await Qcow2.open(new CountedStorage(raw))
    const chunks: Uint8Array[] = []
    const progress: Progress[] = []
    for await (const chunk of image.readable({ onProgress: (each) => progress.push(each) })) chunks.push(chunk)
    expect(chunks.map(({ length }) => length)).toEqual([MiB, MiB, MiB])
    expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0)
    expect(progress).toEqual([1, 2, 3].map((count) => ({ done: count * MiB, total: 3 * MiB })))
  })

  it('streams a part of it', async () => {
    await using image = await Qcow2.open(memory(raw))
    const stream = image.readable({ offset: 1000n, length: 250, chunkSize: 100 })
    const part = await new Response(stream).arrayBuffer()
    expect(Buffer.compare(new Uint8Array(part), bytes.subarray(1000, 1250))).toBe(0)
    for await (const _ of image.readable({ length: 0 })) expect.unreachable()
    for await (const _ of image.readable({ offset: image.size })) expect.unreachable()
  })

  it('reads no more than four chunks ahead of its reader', async () => {
    const counted = new CountedStorage(raw)
    await using image = await Qcow2.open(counted)
    const reader = image.readable({ chunkSize: 64 * 1024 }).getReader()
    await reader.read()
    await settle()
    // Header, L1 and L2 table are 64 KiB each at most; then what was taken, and what is ahead.
    expect(counted.bytes).toBeLessThanOrEqual(8 * 64 * 1024)
    await reader.cancel()
  })

  it('drops its request when it is cancelled', async () => {
    const { image, storage, hold } = await held()
    hold()
    const reader = image.readable().getReader()
    const read = reader.read()
    await settle()
    await reader.cancel('enough')
    expect((await read).done).toBe(true)
    await settle()
    expect(storage.requests.every(({ signal }) => signal.aborted)).toBe(true)
    await image.close()
  })

  it('ends with the reason when its signal aborts', async () => {
    const { image, storage, hold } = await held()
    hold()
    const controller = new AbortController()
    const reader = image.readable({ signal: controller.signal }).getReader()
    const read = reader.read()
    await settle()
    controller.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    await settle()
    expect(storage.requests.every(({ signal }) => signal.aborted)).toBe(true)
    const before = image.readable({ signal: AbortSignal.abort(new Error('before')) }).getReader()
    await expect(before.read()).rejects.toThrow('before')
    await image.close()
  })

  it('ends with what a read ends with', async () => {
    const thrown = new Error('gone')
    let left = 20
    const storage: AsyncStorage = {
      size: () => raw.length,
      read: async (offset, length) => {
        left -= 1
        if (left < 0) throw thrown
        return raw.subarray(offset, offset + length)
      },
    }
    await using image = await Qcow2.open(storage)
    const error = await new Response(image.readable({ chunkSize: 4096 })).arrayBuffer().catch((caught) => caught)
    expect(isQcow2Error(error) && error.cause).toBe(thrown)
  })

  it('refuses what it cannot do', async () => {
    await using image = await Qcow2.open(memory(raw))
    expect(() => image.readable({ chunkSize: 0 })).toThrow(/INVALID_ARGUMENT/)
    expect(() => image.readable({ offset: 1, length: bytes.length })).toThrow(/OUT_OF_BOUNDS/)
  })
})

describe('parameters', () => {
  it.each<[unknown]>([
    [-1],
    [0.5],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [2 ** 53],
    ['0'],
    [undefined],
    [-1n],
    [2n ** 63n],
  ])('offset %s is refused', async (offset) => {
    await using image = await Qcow2.open(memory(raw))
    await expect(image.read(offset as number, 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(() => image.readSync(offset as number, 1)).toThrow(/INVALID_ARGUMENT/)
    await expect(image.locate(offset as number)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it.each<[unknown]>([[-1], [0.5], ['5'], [undefined], [-5n], [[1, 2]], [new Uint16Array(4)]])(
    'length %s is refused',
    async (length) => {
      await using image = await Qcow2.open(memory(raw))
      await expect(image.read(0, length as number)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    },
  )

  it('ranges past the end are refused before memory is allocated for them', async () => {
    await using image = await Qcow2.open(memory(raw))
    const error = await image.read(bytes.length - 10, 2 ** 52).catch((caught) => caught)
    expect(error).toMatchObject({ code: 'OUT_OF_BOUNDS', offset: bytes.length - 10 })
    expect(() => image.readIntoSync(bytes.length, new Uint8Array(1))).toThrow(/OUT_OF_BOUNDS/)
  })

  it('caches are numbers of bytes', async () => {
    for (const cacheSize of [{ tables: -1 }, { clusters: 1.5 }, { tables: '1' as unknown as number }]) {
      await expect(Qcow2.open(memory(raw), { cacheSize })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    await using image = await Qcow2.open(memory(raw), { cacheSize: { tables: 0, clusters: 0 } })
    expect(Buffer.compare(await image.read(0, bytes.length), bytes)).toBe(0)
  })
})
