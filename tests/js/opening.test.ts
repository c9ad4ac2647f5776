import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type AsyncStorage,
  draft,
  http,
  prefetched,
  Qcow2,
  readAhead,
  recorded,
  type StorageOpenOptions,
} from '../../src/js/index.js'
import { contents, convert } from './helpers/qemu.js'
import { FileServer } from './helpers/server.js'
import { settle } from './helpers/storages.js'

const file = readFileSync(convert('image.qcow2', contents(1024 * 1024, 7)))

/** A storage whose openings end when the test, or a signal, says so. */
class SlowStorage implements AsyncStorage {
  readonly openings: { readonly signal: AbortSignal | undefined; ready(): void }[] = []
  closed = 0

  open({ signal }: StorageOpenOptions = {}): Promise<void> {
    return new Promise((ready, reject) => {
      this.openings.push({ signal, ready })
      signal?.addEventListener('abort', () => reject(signal.reason))
    })
  }

  size(): number {
    return file.length
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return file.subarray(offset, offset + length)
  }

  close(): void {
    this.closed += 1
  }
}

/** Opens an image over a storage. */
function open(storage: AsyncStorage) {
  const controller = new AbortController()
  const image = Qcow2.open(storage, { signal: controller.signal })
  image.catch(() => {})
  return { image, abort: () => controller.abort(new Error('enough')) }
}

describe.each<[string, (storage: AsyncStorage) => AsyncStorage]>([
  ['draft', (storage) => draft(storage)],
  ['prefetched', (storage) => prefetched(storage, [])],
  ['readAhead', (storage) => readAhead(storage)],
  ['recorded', (storage) => recorded(storage)],
])('%s()', (_, over) => {
  it('aborts the opening of its storage, and can be opened again', async () => {
    const slow = new SlowStorage()
    const storage = over(slow)
    const { image, abort } = open(storage)
    await vi.waitUntil(() => slow.openings.length === 1)
    abort()
    await expect(image).rejects.toThrow('enough')
    expect(slow.openings.map(({ signal }) => signal?.reason)).toEqual([new Error('enough')])

    const again = open(storage)
    await vi.waitUntil(() => slow.openings.length === 2)
    slow.openings.at(-1)?.ready()
    await (await again.image).close()
    expect([slow.openings.length, slow.closed]).toEqual([2, 1])
  })

  it('is opened for one image though another does not want it any more', async () => {
    const slow = new SlowStorage()
    const storage = over(slow)
    const [first, second] = [open(storage), open(storage)]
    await vi.waitUntil(() => slow.openings.length > 0)
    await settle()
    first.abort()
    await expect(first.image).rejects.toThrow('enough')
    const left = slow.openings.filter(({ signal }) => !signal?.aborted)
    expect(left.length).toBe(1)
    for (const { ready } of left) ready()
    const image = await second.image
    expect(image.size).toBe(1024 * 1024)
    await image.close()
    expect(slow.closed).toBe(1)
  })
})

describe('http()', () => {
  let server: FileServer
  /** Requests that nobody answers: what becomes of each. */
  let broken: Promise<void>[]

  beforeEach(async () => {
    server = await new FileServer(file).start()
    broken = []
  })
  afterEach(() => server.stop())

  /** Lets the next request wait; fulfilled when it is there. */
  function hang(): Promise<void> {
    return new Promise((there) => {
      server.faults.push((response) => {
        broken.push(new Promise((close) => response.once('close', close)))
        there()
      })
    })
  }

  it.each([
    ['asks', 0],
    ['asks how long the file is', 1],
  ])('breaks off its request where its opening is aborted while it %s', async (_, before) => {
    if (before > 0) {
      // A server that doesn't tell the length is asked for it.
      server.faults.push((response) => {
        const part = file.subarray(0, 262_144)
        response.writeHead(206, { 'content-length': part.length }).end(part)
      })
    }
    const there = hang()
    const { image, abort } = open(http(server.url))
    await there
    abort()
    await expect(image).rejects.toThrow('enough')
    await Promise.all(broken)
    expect(broken.length).toBe(1)
  })

  it('asks once for several images, and goes on for one that wants it', async () => {
    const there = hang()
    const storage = http(server.url)
    const [first, second] = [open(storage), open(storage)]
    await there
    first.abort()
    await expect(first.image).rejects.toThrow('enough')
    // A third, which finds it being opened.
    const third = open(storage)
    second.abort()
    await expect(second.image).rejects.toThrow('enough')
    third.abort()
    await expect(third.image).rejects.toThrow('enough')
    await Promise.all(broken)
    expect(server.requests).toEqual(['GET bytes=0-262143'])

    const image = await open(storage).image
    expect(server.requests.slice(0, 2)).toEqual(['GET bytes=0-262143', 'GET bytes=0-262143'])
    await image.close()
  })

  it('can be opened again though its function does not hear signals', async () => {
    let calls = 0
    const fetchFn = (url: string, { signal: _, ...init }: RequestInit) => {
      calls += 1
      return calls === 1 ? new Promise<Response>(() => {}) : fetch(url, init)
    }
    const storage = http(server.url, { fetchFn })
    const { image, abort } = open(storage)
    await vi.waitUntil(() => calls === 1)
    abort()
    await expect(image).rejects.toThrow('enough')
    const again = await open(storage).image
    expect(again.size).toBe(1024 * 1024)
    await again.close()
  })
})
