import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Engine } from '../../src/js/engine/engine.js'
import { openHere } from '../../src/js/engine/open.js'
import { blob, Qcow2, Qcow2Error, readAhead } from '../../src/js/index.js'
import { convert } from './helpers/qemu.js'
import { bytesAt, CountedStorage, type HeldRequest, LaterHeldStorage, settle } from './helpers/storages.js'

const KiB = 1024
const bytes = bytesAt(0, 3 * KiB * KiB)
const raw = readFileSync(convert('direct.qcow2', bytes))

afterEach(() => {
  vi.restoreAllMocks()
})

/** An image whose tables are in memory, over a storage that fetches ahead; the test answers what is asked of the file then. */
async function held() {
  const storage = new LaterHeldStorage(raw)
  // It keeps a fifth of the file: of each cluster one block, by which the tables are loaded.
  const image = await Qcow2.open(readAhead(storage, { budget: 640 * KiB, window: 0 }))
  for (let offset = 0; offset < bytes.length; offset += 64 * KiB) await image.read(offset, 1)
  storage.hold()
  return { image, storage: storage.held, wait: vi.spyOn(Engine.prototype, 'wait') }
}

function answer({ offset, length, ...request }: HeldRequest): void {
  request.answer(raw.subarray(offset, offset + length))
}

const at = 1_000_000

describe('what has to come from a storage that fetches ahead', () => {
  it.each([5000, 330_000, 400_000])('goes past the engine into the array: %i bytes', async (length) => {
    const { image, storage, wait } = await held()
    const into = new Uint8Array(length)
    const reading = image.readInto(at, into)
    await settle()
    for (const request of storage.requests) answer(request)
    await reading
    expect(into).toEqual(bytes.subarray(at, at + length))
    expect(wait).not.toHaveBeenCalled()
    await image.close()
  })

  it('does not keep an aborted caller waiting, and serves the others', async () => {
    const { image, storage } = await held()
    const controllers = [new AbortController(), new AbortController()]
    const [first, second] = controllers.map(({ signal }) => image.read(at, 5000, { signal }))
    controllers[0]?.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
    expect(storage.requests.map(({ signal }) => signal.aborted)).toEqual([false])
    for (const request of storage.requests) answer(request)
    expect(await second).toEqual(bytes.subarray(at, at + 5000))
    await image.close()
  })

  it('is aborted when no caller waits for it any more', async () => {
    const { image, storage } = await held()
    const controller = new AbortController()
    const reading = image.read(at, 5000, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
    expect(storage.requests.map(({ signal }) => signal.aborted)).toEqual([true])
    await image.close()
  })

  it('is aborted when the image is closed', async () => {
    const { image, storage } = await held()
    const reading = expect(image.read(at, 5000)).rejects.toMatchObject({ code: 'CLOSED' })
    await image.close()
    await reading
    expect(storage.requests.map(({ signal }) => signal.aborted)).toEqual([true])
  })

  it.each<[string, (request: HeldRequest) => void, object]>([
    ['an exception', ({ fail }) => fail(new Error('gone')), { code: 'STORAGE', reason: 'The storage failed: gone.' }],
    ['no room', ({ fail }) => fail(Object.assign(new Error('x'), { code: 'ENOSPC' })), { code: 'QUOTA' }],
    ['what is no error', ({ fail }) => fail(7), { code: 'STORAGE', cause: 7 }],
    ['an error of these', ({ fail }) => fail(new Qcow2Error('FILE_CHANGED', 'Another.')), { code: 'FILE_CHANGED' }],
    ['less than that', (request) => request.answer(new Uint8Array(7)), { code: 'STORAGE_CONTRACT' }],
  ])('may fail: by %s', async (_, outcome, error) => {
    const { image, storage } = await held()
    const reading = expect(image.read(at, 5000)).rejects.toMatchObject(error)
    for (const request of storage.requests) outcome(request)
    await reading
    await image.close()
  })

  it.each([5000, 400_000])('needs the array still: %i bytes', async (length) => {
    const { image, storage } = await held()
    const into = new Uint8Array(length)
    const reading = expect(image.readInto(at, into)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    structuredClone(into, { transfer: [into.buffer] })
    await settle()
    for (const request of storage.requests) answer(request)
    await reading
    await image.close()
  })
})

describe('what is fetched ahead by the caller', () => {
  const opened = async (file: Uint8Array<ArrayBuffer>) => {
    const handle = await openHere(blob(new Blob([file])), {})
    // The tables come into memory by this.
    for (let offset = 0; offset < bytes.length; offset += 64 * KiB)
      await handle.read('read', BigInt(offset), 1, undefined)
    return { handle, slice: vi.spyOn(Blob.prototype, 'slice') }
  }

  it('comes in the array that a Blob makes, and in no other', async () => {
    const { handle, slice } = await opened(raw)
    expect(handle.gives).toBe(true)
    for (const length of [400_000, 400_000, 1]) {
      const given = await handle.give(BigInt(at), length, undefined)
      expect(given).toEqual(bytes.subarray(at, at + length))
      expect(given.buffer.byteLength).toBe(length)
    }
    // Once for each, and nothing behind them: nothing is kept, and nothing more is fetched.
    const asked = slice.mock.calls.map(([start = 0, end = 0]) => end - start)
    expect(asked).toEqual([400_000, 400_000, 1])
    await handle.close()
  })

  it('is read by the engine where it is not in the file as it is', async () => {
    const { handle } = await opened(readFileSync(convert('packed.qcow2', bytes, '-c')))
    expect(await handle.give(BigInt(at), 400_000, undefined)).toEqual(bytes.subarray(at, at + 400_000))
    await handle.close()
  })

  it('is read by the engine where the storage keeps its arrays', async () => {
    const handle = await openHere(readAhead(new CountedStorage(raw)), {})
    expect(handle.gives).toBe(false)
    expect(await handle.give(BigInt(at), 400_000, undefined)).toEqual(bytes.subarray(at, at + 400_000))
    await handle.close()
  })

  it('keeps no caller waiting that aborts or closes the image', async () => {
    const { handle } = await opened(raw)
    const controller = new AbortController()
    const aborted = expect(handle.give(BigInt(at), 5000, controller.signal)).rejects.toThrow('enough')
    controller.abort(new Error('enough'))
    await aborted
    const closed = expect(handle.give(BigInt(at), 5000, undefined)).rejects.toMatchObject({ code: 'CLOSED' })
    await handle.close()
    await closed
  })

  it('may fail', async () => {
    const { handle } = await opened(raw)
    const gone = new DOMException('changed', 'NotReadableError')
    vi.spyOn(Blob.prototype, 'arrayBuffer').mockRejectedValue(gone)
    await expect(handle.give(BigInt(at), 5000, undefined)).rejects.toMatchObject({ code: 'FILE_CHANGED', cause: gone })
    await handle.close()
  })
})

it('what a storage has at hand goes past the engine', async () => {
  const image = await Qcow2.open(readAhead(new CountedStorage(raw), { window: 0 }))
  await image.read(0, bytes.length)
  const answers = vi.spyOn(Engine.prototype, 'answer')
  const place = bytes.findIndex((byte, at) => at % 65_536 === 0 && byte !== 0)
  expect(await image.read(place, 4096)).toEqual(bytes.slice(place, place + 4096))
  expect(answers).not.toHaveBeenCalled()
  answers.mockRestore()
  await image.close()
})
