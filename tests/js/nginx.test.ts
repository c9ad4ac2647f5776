import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type HttpOptions, http, isQcow2Error, Qcow2 } from '../../src/js/index.js'
import { CuttingProxy } from './helpers/cutting-proxy.js'
import { Nginx, type Way } from './helpers/nginx.js'
import { contents, convert, difference } from './helpers/qemu.js'
import { bytesAt } from './helpers/storages.js'

const MiB = 1024 * 1024
const { signal } = new AbortController()
const disk = contents(3 * MiB)
const image = readFileSync(convert('image.qcow2', disk, '-c'))
const file = bytesAt(0, 2 * MiB)
const nginx = new Nginx()
let name = ''

beforeAll(() => nginx.start())
afterAll(() => nginx.stop())
beforeEach(() => {
  name = randomUUID()
  nginx.put(name, file)
})

/** What was asked, and what was answered. */
interface Exchange {
  readonly condition: string | null
  readonly status: number | undefined
}

/** A storage that passes each request on, not opened, and what it asks. */
function watched(url: string, options: HttpOptions = {}) {
  const exchanges: Exchange[] = []
  const fetchFn = async (address: string, init: RequestInit) => {
    const condition = new Headers(init.headers).get('if-range')
    const response = await fetch(address, init).catch((error) => {
      exchanges.push({ condition, status: undefined })
      throw error
    })
    exchanges.push({ condition, status: response.status })
    return response
  }
  return { exchanges, storage: http(url, { readAhead: false, retryDelay: 0, fetchFn, ...options }) }
}

/** A storage that passes each request on, opened; the first 256 KiB came with its opening. */
async function opened(way: Way, options: HttpOptions = {}) {
  const { storage } = watched(nginx.url(way, name), options)
  await storage.open?.()
  return storage
}

/** What keeps a promise from being kept. */
async function failure(promise: Promise<unknown>): Promise<{ code: string; reason: string }> {
  const error = await promise.then(
    () => undefined,
    (thrown) => thrown,
  )
  if (!isQcow2Error(error)) throw new Error(`no Qcow2Error: ${error}`)
  return { code: error.code, reason: error.reason }
}

/** Reads a whole disk. */
async function read(way: Way, options: HttpOptions = {}): Promise<Uint8Array> {
  nginx.put(name, image)
  const opened = await Qcow2.open(http(nginx.url(way, name), options))
  const bytes = await opened.read(0, opened.size)
  await opened.close()
  return bytes
}

describe('an image is read', () => {
  it.each<Way>(['plain', 'dated', 'packed'])('in parts: %s', async (way) => {
    expect(difference(await read(way), disk)).toBe(-1)
  })

  it.each<Way>(['moved/301', 'moved/302', 'moved/307', 'moved/308', 'moved/elsewhere'])('%s', async (way) => {
    expect(difference(await read(way), disk)).toBe(-1)
  })

  it('with the password that the caller gives', async () => {
    const headers = { authorization: `Basic ${btoa('me:secret')}` }
    expect(difference(await read('secret', { requestInit: { headers } }), disk)).toBe(-1)
    expect((await failure(opened('secret'))).reason).toBe('The server answered with status 401.')
  })
})

describe('the server is asked on one condition', () => {
  it.each<[Way, RegExp]>([
    ['plain', /^"[\w-]+"$/],
    ['dated', / GMT$/],
  ])('%s', async (way, condition) => {
    const { storage, exchanges } = watched(nginx.url(way, name))
    await storage.open?.()
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
    expect(exchanges).toEqual([
      { condition: null, status: 206 },
      { condition: expect.stringMatching(condition), status: 206 },
    ])
  })
})

describe('a file that becomes another', () => {
  it.each<Way>(['plain', 'dated', 'packed', 'moved/302'])('is known: %s', async (way) => {
    const storage = await opened(way)
    nginx.put(name, bytesAt(5, 2 * MiB))
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).code).toBe('FILE_CHANGED')
    const again = await opened(way)
    expect(await again.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB + 5, 10))
  })

  it('is known: by its absence', async () => {
    const storage = await opened('plain')
    nginx.remove(name)
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).code).toBe('FILE_CHANGED')
  })
})

describe('a server that gives no parts', () => {
  // Browsers ask for no compressed parts, but a program may by mistake.
  const requestInit = { headers: { 'accept-encoding': 'gzip' } }

  it.each<[string, Way, HttpOptions]>([
    ['whole files', 'whole', {}],
    ['what it compresses', 'packed', { requestInit }],
    ['what was compressed before', 'prepacked', {}],
  ])('but %s: is downloaded from if the caller says so', async (_, way, options) => {
    expect((await failure(opened(way, options))).code).toBe('NO_RANGES')
    const seen: number[] = []
    const onProgress = ({ done, total }: { done: number; total: number }) => {
      expect(total).toBeGreaterThanOrEqual(done)
      seen.push(done)
    }
    const storage = await opened(way, { ...options, download: true, onProgress })
    expect(difference(await storage.read(0, 2 * MiB, { signal }), file)).toBe(-1)
    expect(seen.at(-1)).toBe(2 * MiB)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })
})

describe('what does not pass', () => {
  it.each<[Way, number]>([
    ['forbidden', 403],
    ['plain', 404],
  ])('%s: %i is told at once', async (way, status) => {
    const { storage, exchanges } = watched(nginx.url(way, 'nothing'))
    const failed = failure(Promise.resolve(storage.open?.()))
    expect(await failed).toEqual({ code: 'STORAGE', reason: `The server answered with status ${status}.` })
    expect(exchanges.length).toBe(1)
  })

  it.each<[Way, (number | undefined)[]]>([
    ['broken', [500, 500, 500]],
    // Once it is asked whether it redirects.
    ['dropped', [undefined, undefined, undefined, undefined]],
  ])('%s is told when patience is at an end', async (way, statuses) => {
    const { storage, exchanges } = watched(nginx.url(way, name), { retries: 2 })
    expect((await failure(Promise.resolve(storage.open?.()))).code).toBe('STORAGE')
    expect(exchanges.map((exchange) => exchange.status)).toEqual(statuses)
  })
})

describe('a slow server', () => {
  it('is waited for no longer than the caller wants', async () => {
    const controller = new AbortController()
    const fetchFn = async (url: string, init: RequestInit) => {
      const response = await fetch(url, init)
      if (new Headers(init.headers).get('range') === 'bytes=1048576-2097151') controller.abort(new Error('enough'))
      return response
    }
    const storage = await opened('slow', { fetchFn })
    await expect(storage.read(1 * MiB, 1 * MiB, { signal: controller.signal })).rejects.toThrow('enough')
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
  })

  it('is not downloaded from to the end if the caller has had enough', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort(new Error('enough'))
    const options = { download: true, onProgress, signal: controller.signal }
    await expect(opened('slow-whole', options)).rejects.toThrow('enough')
  })
})

describe('a connection that is cut', () => {
  let proxy: CuttingProxy

  beforeAll(async () => {
    proxy = new CuttingProxy(nginx.url('plain', ''))
    await proxy.start()
  })
  afterAll(() => proxy.stop())

  const through = (way: Way, options: HttpOptions = {}) => watched(proxy.url(nginx.url(way, name)), options)

  it.each([
    ['in the headers', [10]],
    ['in the body', [100_000]],
    ['twice', [100_000, 500_000]],
    ['before the last bytes', [1 * MiB]],
  ])('%s is tried again', async (_, cuts) => {
    const { storage, exchanges } = through('plain')
    await storage.open?.()
    proxy.cuts.push(...cuts)
    expect(difference(await storage.read(1 * MiB, 1 * MiB, { signal }), bytesAt(1 * MiB, 1 * MiB))).toBe(-1)
    expect(proxy.cuts).toEqual([])
    expect(exchanges.length).toBe(2 + cuts.length)
  })

  it('while the file is opened is tried again', async () => {
    const { storage } = through('plain')
    proxy.cuts.push(1000)
    await storage.open?.()
    expect(await storage.size()).toBe(2 * MiB)
  })

  it.each<Way>(['whole', 'prepacked'])('while the file is downloaded is tried again: %s', async (way) => {
    const { storage } = through(way, { download: true })
    proxy.cuts.push(600)
    await storage.open?.()
    expect(difference(await storage.read(0, 2 * MiB, { signal }), file)).toBe(-1)
    expect(proxy.cuts).toEqual([])
  })

  it('again and again is reported', async () => {
    const { storage } = through('plain', { retries: 1 })
    await storage.open?.()
    proxy.cuts.push(100_000, 100_000)
    expect((await failure(storage.read(1 * MiB, 1 * MiB, { signal }))).code).toBe('STORAGE')
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
  })
})
