import { describe, expect, it, vi } from 'vitest'
import { type V86Disk, type V86DiskOptions, type V86DiskState, type V86Fault, v86Disk } from '../../src/js/hosts/v86.js'
import { type CreateOptions, memory, Qcow2, type WritableStorage } from '../../src/js/index.js'
import { FaultyStorage } from './helpers/faulty.js'
import { Random } from './helpers/random.js'

const size = 1024 * 1024

async function diskOver(storage: WritableStorage, options: V86DiskOptions = {}, create: Partial<CreateOptions> = {}) {
  const image = await Qcow2.create(storage, { size, ...create })
  return { image, disk: v86Disk(image, options) }
}

const filled = (value: number, length = 512) => new Uint8Array(length).fill(value)
const get = (disk: V86Disk, offset: number, length: number, signal?: AbortSignal) =>
  new Promise<Uint8Array>((resolve) => disk.get(offset, length, (bytes) => resolve(bytes.slice()), { signal }))
const set = (disk: V86Disk, offset: number, bytes: Uint8Array) =>
  new Promise<void>((resolve) => disk.set(offset, bytes, resolve))
const load = (disk: V86Disk) =>
  new Promise<void>((resolve) => {
    disk.onload = () => resolve()
    disk.load()
  })
/** Resolves once the disk reports a state that fits. */
function reported(fits: (state: V86DiskState) => boolean) {
  let found = (_: V86DiskState) => {}
  const promise = new Promise<V86DiskState>((resolve) => {
    found = resolve
  })
  return { promise, onChange: (state: V86DiskState) => void (fits(state) && found(state)) }
}

describe('requests', () => {
  it('are served in order, however long each takes', async () => {
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    let open = () => {}
    storage.gate = new Promise((resolve) => {
      open = resolve
    })
    const answers: string[] = []
    disk.set(0, filled(1), () => answers.push('first write'))
    const read = get(disk, 0, 512).then((bytes) => answers.push(`read ${bytes[0]}`))
    disk.set(0, filled(2), () => answers.push('second write'))
    expect(disk.state.pending).toBe(3)
    open()
    await disk.idle()
    await read
    expect(answers).toEqual(['first write', 'read 1', 'second write'])
    expect((await get(disk, 0, 512))[0]).toBe(2)
  })

  it('copy what is written before `set` returns', async () => {
    const { disk } = await diskOver(new FaultyStorage())
    const bytes = filled(7)
    const written = set(disk, 4096, bytes)
    bytes.fill(9)
    await written
    expect(await get(disk, 4096, 512)).toEqual(filled(7))
  })

  it('are answered before the call returns, over a synchronous image', async () => {
    const { disk, image } = await diskOver(memory())
    expect(image.sync).toBe(true)
    const answers: unknown[] = []
    disk.set(1024, filled(3), () => answers.push('written'))
    disk.get(1024, 512, (bytes) => answers.push(bytes[0]))
    expect(answers).toEqual(['written', 3])
  })

  it('are answered before the call returns where the guest reads on, over an image that is not', async () => {
    const storage = new FaultyStorage()
    const { disk, image } = await diskOver(storage)
    const bytes = new Uint8Array(size).map((_, index) => index >> 9)
    await image.write(0, bytes)
    expect(image.sync).toBe(false)
    // The first two: from then on the guest is known to read on.
    expect(await lateAnswers(disk, bytes, 0, size)).toBe(2)
  })

  it('are late once where a file that the guest reads goes on elsewhere', async () => {
    const { disk, image } = await diskOver(new FaultyStorage())
    const bytes = new Uint8Array(size).map((_, index) => index >> 9)
    await image.write(0, bytes)
    const half = size / 2
    expect(await lateAnswers(disk, bytes, half, size)).toBe(2)
    expect(await lateAnswers(disk, bytes, 0, half)).toBe(1)
  })

  it('read what was written before them, whatever was read ahead and however long each takes', async () => {
    const random = new Random(86)
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    const expected = new Uint8Array(size)
    const waiting: Promise<void>[] = []
    let at = 0
    for (let step = 0; step < 600; step += 1) {
      const length = 512 * (1 + random.below(64))
      if (random.below(4) === 0 || at + length > size) at = 512 * random.below((size - length) / 512)
      if (random.below(3) === 0) {
        const bytes = filled(random.below(256), length)
        expected.set(bytes, at)
        waiting.push(set(disk, at, bytes))
        at = Math.max(0, at - 512 * random.below(128))
      } else {
        const now = expected.slice(at, at + length)
        waiting.push(get(disk, at, length).then((read) => expect(Buffer.compare(read, now), `step ${step}`).toBe(0)))
        at += length
      }
      if (random.below(3) === 0) await disk.idle()
      // Some requests are answered behind others that came later.
      const turns = random.below(3)
      storage.gate = (async () => {
        for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      })()
    }
    await Promise.all(waiting)
  })

  it('are dropped when their signal is aborted, and those behind them are served', async () => {
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    await set(disk, 0, filled(1))
    const controller = new AbortController()
    let open = () => {}
    storage.gate = new Promise((resolve) => {
      open = resolve
    })
    const answer = vi.fn()
    disk.get(0, 512, answer, { signal: controller.signal })
    disk.get(512, 512, answer, { signal: controller.signal })
    const next = get(disk, 0, 512)
    controller.abort()
    open()
    expect((await next)[0]).toBe(1)
    expect(answer).not.toHaveBeenCalled()
    expect(disk.state.failed).toBeUndefined()
  })

  it('of the last sector of a CD read zeros past the end of its image', async () => {
    const { disk } = await diskOver(memory(), {}, { size: 4096 + 512 })
    await set(disk, 4096, filled(5))
    const bytes = await get(disk, 4096, 2048)
    expect(bytes.subarray(0, 512)).toEqual(filled(5))
    expect(bytes.subarray(512)).toEqual(filled(0, 1536))
  })

  it('keep the first sector at hand, as it is written', async () => {
    const { disk, image } = await diskOver(new FaultyStorage())
    await image.write(510, new Uint8Array([0x55, 0xaa]))
    expect(disk.get_from_cache(0, 512)).toBeUndefined()
    await load(disk)
    expect(disk.get_from_cache(0, 512)?.subarray(510)).toEqual(new Uint8Array([0x55, 0xaa]))
    await set(disk, 0, filled(6, 1024))
    expect(disk.get_from_cache(0, 512)).toEqual(filled(6))
    expect(disk.get_from_cache(512, 512)).toBeUndefined()
  })
})

it('a disk that v86 cannot address is refused', async () => {
  const make = async (gibibytes: number) => {
    const image = await Qcow2.create(memory(), { size: gibibytes * 2 ** 30, clusterSize: 2 ** 21 })
    return v86Disk(image).byteLength
  }
  expect(await make(2047)).toBe(2047 * 2 ** 30)
  await expect(make(2048)).rejects.toMatchObject({ code: 'DISK_TOO_LARGE' })
})

describe('flushes', () => {
  it('follow each burst of writes, without being asked', async () => {
    const storage = new FaultyStorage()
    const clean = reported(({ dirty, pending }) => !dirty && pending === 0 && storage.asked.flush > flushed)
    const { disk } = await diskOver(storage, { onChange: clean.onChange })
    const flushed = storage.asked.flush
    for (let at = 0; at < 10; at += 1) await set(disk, at * 512, filled(at))
    expect(disk.state.dirty).toBe(true)
    await clean.promise
    expect(disk.state.dirty).toBe(false)
  })

  it.each([
    ['visibilitychange', 'hidden', 1],
    ['visibilitychange', 'visible', 0],
    ['pagehide', 'visible', 1],
  ] as const)('come at once when the page may end: %s, %s', async (type, visibilityState, flushes) => {
    const [document, window] = [Object.assign(new EventTarget(), { visibilityState }), new EventTarget()]
    vi.stubGlobal('document', document)
    vi.stubGlobal('window', window)
    try {
      const { disk } = await diskOver(new FaultyStorage())
      await set(disk, 0, filled(1))
      await disk.idle()
      expect(disk.state.dirty).toBe(true)
      const target = type === 'pagehide' ? window : document
      target.dispatchEvent(new Event(type))
      expect(disk.state.pending).toBe(flushes)
      await disk.close()
      target.dispatchEvent(new Event(type))
      expect(disk.state.pending).toBe(0)
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it('come with each write where the drive has no cache', async () => {
    for (const storage of [new FaultyStorage(), memory()]) {
      const { disk } = await diskOver(storage, { writeCache: false })
      await set(disk, 0, filled(1))
      expect(disk.state.dirty).toBe(false)
    }
  })

  it('wait for the writes before them', async () => {
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    const order: string[] = []
    disk.set(0, filled(1), () => order.push('write'))
    await disk.flush().then(() => order.push('flush'))
    expect(order).toEqual(['write', 'flush'])
    expect(disk.state.dirty).toBe(false)
  })

  it('are the last thing that `close` does', async () => {
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    await set(disk, 0, filled(1))
    await disk.close()
    expect(disk.state.dirty).toBe(false)
    const answer = vi.fn()
    disk.get(0, 512, answer)
    await disk.idle()
    expect(answer).not.toHaveBeenCalled()
  })
})

describe('faults', () => {
  it('are tried again as `onFault` decides', async () => {
    const storage = new FaultyStorage()
    const asked: unknown[] = []
    const { disk } = await diskOver(storage, {
      onFault: async (error, request): Promise<V86Fault> => {
        asked.push([error.code, request])
        if (asked.length === 3) storage.failure = undefined
        return 'retry'
      },
    })
    await set(disk, 65536, filled(4))
    await disk.flush()
    storage.failure = new Error('the line is down')
    expect((await get(disk, 65536, 512))[0]).toBe(4)
    expect(asked).toEqual(Array(3).fill(['STORAGE', { kind: 'read', offset: 65536, length: 512 }]))
    expect(disk.state.failed).toBeUndefined()
  })

  it('of a storage are tried again for a while, by default', async () => {
    const storage = new FaultyStorage()
    const failing = reported(({ failed }) => failed?.code === 'STORAGE')
    const { disk } = await diskOver(storage, { onChange: failing.onChange })
    await set(disk, 0, filled(4))
    await disk.flush()
    storage.failure = new Error('the line is down')
    const bytes = get(disk, 0, 512)
    await failing.promise
    expect(disk.state.pending).toBe(1)
    storage.failure = undefined
    expect((await bytes)[0]).toBe(4)
  })

  it('of a storage that is gone are waited for once, until something succeeds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const storage = new FaultyStorage()
      const { disk } = await diskOver(storage, { onChange: () => {} })
      await set(disk, 0, filled(4))
      await disk.flush()
      /** How long a read takes that fails, in milliseconds. */
      const failing = async () => {
        const began = performance.now()
        disk.get(0, 512, () => {})
        while (disk.state.pending > 0) await vi.advanceTimersByTimeAsync(250)
        return performance.now() - began
      }
      storage.failure = new Error('the line is down')
      expect(await failing()).toBeGreaterThan(15_000)
      expect(await failing()).toBeLessThan(1000)
      expect(await failing()).toBeLessThan(1000)
      storage.failure = undefined
      expect((await get(disk, 0, 512))[0]).toBe(4)
      storage.failure = new Error('the line is down')
      expect(await failing()).toBeGreaterThan(15_000)
    } finally {
      vi.useRealTimers()
    }
  })

  it('that are given up are never answered with other bytes, and are reported', async () => {
    const storage = new FaultyStorage()
    const failed = reported(({ failed, pending }) => failed !== undefined && pending === 0)
    const { disk } = await diskOver(storage, { onFault: () => 'fail', onChange: failed.onChange })
    await set(disk, 0, filled(4))
    await disk.flush()
    storage.failure = new Error('the line is down')
    const answer = vi.fn()
    disk.get(0, 512, answer)
    expect((await failed.promise).failed).toMatchObject({ code: 'STORAGE' })
    storage.failure = undefined
    await get(disk, 0, 512)
    expect(answer).not.toHaveBeenCalled()
    expect(disk.state.failed).toBeUndefined()
  })

  it('of a flush of its own are uncaught where the page listens to nothing', async () => {
    const storage = new FaultyStorage()
    const { disk } = await diskOver(storage)
    const later = queueMicrotask
    const uncaught = new Promise<unknown>((resolve) => {
      const caught = (work: () => void) =>
        later(() => {
          try {
            work()
          } catch (error) {
            resolve(error)
          }
        })
      vi.stubGlobal('queueMicrotask', caught)
    })
    try {
      storage.fails = { flush: true }
      storage.failure = Object.assign(new Error('no room'), { name: 'QuotaExceededError' })
      await set(disk, 0, filled(4))
      expect(await uncaught).toMatchObject({ code: 'QUOTA' })
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it('end with the reset of the drive', async () => {
    const storage = new FaultyStorage()
    let decide = (_: 'retry' | 'fail') => {}
    const faulted = reported(({ failed }) => failed !== undefined)
    const { disk } = await diskOver(storage, {
      onFault: () =>
        new Promise((resolve) => {
          decide = resolve
        }),
      onChange: faulted.onChange,
    })
    await set(disk, 0, filled(4))
    await disk.flush()
    storage.failure = new Error('the line is down')
    const controller = new AbortController()
    const answer = vi.fn()
    disk.get(0, 512, answer, { signal: controller.signal })
    await faulted.promise
    controller.abort()
    decide('retry')
    await disk.idle()
    storage.failure = undefined
    expect((await get(disk, 0, 512))[0]).toBe(4)
    expect(answer).not.toHaveBeenCalled()
  })
})

it('a disk that is in no machine cannot be saved', async () => {
  const { disk } = await diskOver(memory())
  await expect(disk.savevm('a name')).rejects.toMatchObject({ code: 'NOT_ATTACHED' })
  await expect(disk.loadvm('a name')).rejects.toMatchObject({ code: 'NOT_ATTACHED' })
})

/** Reads a range 16 KiB at a time, as a guest reads a file; returns how many reads were not answered before their call returned. */
async function lateAnswers(disk: V86Disk, bytes: Uint8Array, start: number, end: number): Promise<number> {
  let late = 0
  for (let at = start; at < end; at += 16_384) {
    let answer: Uint8Array | undefined
    disk.get(at, 16_384, (read) => {
      answer = read.slice()
    })
    if (!answer) late += 1
    await disk.idle()
    // The guest does something with what it has read.
    await new Promise((resolve) => setImmediate(resolve))
    expect(Buffer.compare(answer ?? new Uint8Array(), bytes.subarray(at, at + 16_384))).toBe(0)
  }
  return late
}
