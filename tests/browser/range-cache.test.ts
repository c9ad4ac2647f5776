import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { FileServer, status } from '../js/helpers/server.js'
import { bytesAt } from '../js/helpers/storages.js'
import { StorageLab, type Work } from './storage-lab.js'

const KiB = 1024
const block = 256 * KiB
const size = 9 * block + 1000
const lab = new StorageLab()
let server: FileServer

beforeAll(() => lab.start())
afterAll(() => lab.stop())
beforeEach(async () => {
  server = await new FileServer(bytesAt(0, size)).start()
  server.exposed = 'Content-Range, ETag'
})
afterEach(() => server.stop())

/** Reads ranges one after another of a storage of its own; their hashes. */
const read: Work<[string, object, [number, number][]], string[]> = async ({ http }, url, options, ranges) => {
  const storage = http(url, { retryDelay: 1, ...options })
  await storage.open?.()
  const found: string[] = []
  const { signal } = new AbortController()
  for (const [offset, length] of ranges) {
    const bytes = new Uint8Array(await storage.read(offset, length, { signal }))
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
    found.push(Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join(''))
  }
  await storage.close?.()
  return found
}

/** How many blocks are noted as used. */
const uses: Work<[], number> = () =>
  new Promise((resolve, reject) => {
    const opening = indexedDB.open('qcow2-web ranges')
    opening.onerror = () => reject(opening.error)
    opening.onsuccess = () => {
      const database = opening.result
      const counting = database.transaction('uses').objectStore('uses').count()
      counting.onsuccess = () => {
        database.close()
        resolve(counting.result)
      }
    }
  })

/** How many blocks are kept of a file. */
const kept: Work<[string], number> = (_, url) =>
  new Promise((resolve, reject) => {
    const opening = indexedDB.open('qcow2-web ranges')
    opening.onerror = () => reject(opening.error)
    opening.onsuccess = () => {
      const database = opening.result
      const counting = database
        .transaction('blocks')
        .objectStore('blocks')
        .count(IDBKeyRange.bound([url], [url, []]))
      counting.onsuccess = () => {
        database.close()
        resolve(counting.result)
      }
    }
  })

const whole: [number, number][] = [[0, size]]
const some: [number, number][] = [
  [3 * block - 10, 20],
  [5 * block, block],
  [size - 7, 7],
]
const plain = { readAhead: false, persistentCache: 64 * block }
const expected = (ranges: [number, number][], file = server.file) =>
  ranges.map(([offset, length]) =>
    createHash('sha256')
      .update(file.subarray(offset, offset + length))
      .digest('hex'),
  )

/** How many requests something takes. */
async function requests(work: () => Promise<unknown>): Promise<number> {
  const before = server.requests.length
  await work()
  return server.requests.length - before
}

it.each([
  ['a page', false],
  ['a worker', true],
])('what was fetched on %s is not fetched again', async (_, worker) => {
  const run = (options: object, ranges: [number, number][]) =>
    worker ? lab.inWorker(read, server.url, options, ranges) : lab.onPage(read, server.url, options, ranges)
  expect(await run(plain, some)).toEqual(expected(some))
  // Whether the file is the same is asked.
  expect(await requests(async () => expect(await run(plain, some)).toEqual(expected(some)))).toBe(1)
  const overlapping: [number, number][] = [[2 * block + 5, 4 * block]]
  expect(await requests(async () => expect(await run(plain, overlapping)).toEqual(expected(overlapping)))).toBe(3)
  // With read-ahead above it, too.
  const ahead = { persistentCache: 64 * block }
  expect(await run(ahead, whole)).toEqual(expected(whole))
  expect(await requests(async () => expect(await run(ahead, whole)).toEqual(expected(whole)))).toBe(1)
})

it('nothing of another state of the file is mixed in, and nothing of it stays', async () => {
  await lab.onPage(read, server.url, plain, whole)
  expect(await lab.onPage(kept, server.url)).toBe(10)
  server.file = bytesAt(0, size).map((byte) => byte ^ 0xff)
  server.etag = '"2"'
  expect(await lab.onPage(read, server.url, plain, some)).toEqual(expected(some))
  expect(await lab.onPage(kept, server.url)).toBe(4)
})

it('of a server that sends no validator nothing is kept', async () => {
  server.etag = 'W/"1"'
  server.modified = undefined
  for (let time = 0; time < 2; time += 1) {
    expect(await lab.onPage(read, server.url, plain, some)).toEqual(expected(some))
  }
  expect(await lab.onPage(kept, server.url)).toBe(0)
})

it('the budget is kept, and what was used last stays', async () => {
  const small = { readAhead: false, persistentCache: 4 * block }
  const blocks = [1, 2, 3, 4].map((number): [number, number] => [number * block, 10])
  for (const range of blocks) await lab.onPage(read, server.url, small, [range])
  // The first is used again, so the second goes when room is needed.
  await lab.onPage(read, server.url, small, [[block, 10]])
  await lab.onPage(read, server.url, small, [[6 * block, 10]])
  expect(await lab.onPage(kept, server.url)).toBe(4)
  expect(await requests(() => lab.onPage(read, server.url, small, [[block, 10]]))).toBe(1)
  expect(await requests(() => lab.onPage(read, server.url, small, [[2 * block, 10]]))).toBe(2)
})

it('what fails is not kept', async () => {
  const failing: Work<[string], string> = async ({ http }, url) => {
    const storage = http(url, { readAhead: false, persistentCache: 1 << 24, retries: 0 })
    await storage.open?.()
    const { signal } = new AbortController()
    const outcome = await storage.read(1 << 20, 10, { signal }).then(
      () => 'fine',
      (error) => error.code,
    )
    await storage.close?.()
    return outcome
  }
  server.faults.push((response, request) => server.serve(response, request), status(500))
  expect(await lab.onPage(failing, server.url)).toBe('STORAGE')
  expect(await lab.onPage(kept, server.url)).toBe(0)
})

it('what is kept is listed by file, and forgotten on demand', async () => {
  const other = await new FileServer(bytesAt(0, size)).start()
  other.exposed = 'Content-Range, ETag'
  for (const url of [server.url, other.url]) await lab.onPage(read, url, plain, some)
  const addresses = [server.url, other.url]
  const mine: Work<[string[]], unknown> = async ({ http }, addresses) =>
    (await http.kept()).filter(({ url }) => addresses.includes(url)).toSorted((a, b) => (a.url < b.url ? -1 : 1))
  const sizes = await Promise.all(addresses.map((url) => lab.onPage(kept, url)))
  const both = addresses.map((url, index) => ({ url, size: (sizes[index] ?? 0) * block }))
  expect(await lab.onPage(mine, addresses)).toEqual(both.toSorted((a, b) => (a.url < b.url ? -1 : 1)))

  await lab.onPage(({ http }, url) => http.forget(`${url}#fragment`), server.url)
  expect(await lab.inWorker(mine, addresses)).toEqual(both.slice(1))
  await lab.inWorker(({ http }) => http.forget())
  expect(await lab.onPage(({ http }) => http.kept())).toEqual([])
  other.stop()
})

it('what is forgotten while an image is open is kept anew, and counts once', async () => {
  const forgetting: Work<[string], unknown> = async ({ http }, url) => {
    const storage = http(url, { readAhead: false, persistentCache: 1 << 24 })
    await storage.open?.()
    const { signal } = new AbortController()
    const block = 256 * 1024
    await storage.read(2 * block, 10, { signal })
    await storage.read(2 * block, 10, { signal })
    await http.forget()
    await storage.read(4 * block, 10, { signal })
    await storage.close?.()
    return (await http.kept()).map(({ size }) => size / block)
  }
  expect(await lab.onPage(forgetting, server.url)).toEqual([1])
  expect(await lab.onPage(uses)).toBe(1)
})

it('what several images opened at one time is released by the last of them', async () => {
  const together: Work<[string], unknown> = async ({ http }, url) => {
    const storage = http(url, { readAhead: false, persistentCache: 1 << 24 })
    await Promise.all([storage.open?.(), storage.open?.()])
    await storage.close?.()
    const bytes = await storage.read(1000, 10, new AbortController())
    await storage.close?.()
    const removed = await new Promise((resolve) => {
      const removing = indexedDB.deleteDatabase('qcow2-web ranges')
      removing.onsuccess = () => resolve('removed')
      removing.onblocked = () => resolve('in use')
    })
    return { length: bytes.length, removed }
  }
  expect(await lab.onPage(together, server.url)).toEqual({ length: 10, removed: 'removed' })
})
