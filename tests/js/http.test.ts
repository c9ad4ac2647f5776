import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type HttpOptions, http, isQcow2Error, Qcow2, type Qcow2Error } from '../../src/js/index.js'
import { contents, convert } from './helpers/qemu.js'
import { type Fault, FileServer, reset, status } from './helpers/server.js'
import { bytesAt } from './helpers/storages.js'

const KiB = 1024
const MiB = 1024 * KiB
const { signal } = new AbortController()
const file = bytesAt(0, 2 * MiB)
let server: FileServer

beforeEach(async () => {
  server = await new FileServer(file).start()
})
afterEach(() => server.stop())

/** A storage that passes each request on, opened; the first 256 KiB came with its opening. */
async function opened(options: HttpOptions = {}) {
  const storage = http(server.url, { readAhead: false, retryDelay: 0, ...options })
  await storage.open?.()
  return storage
}

/** What a promise is rejected with. */
async function failure(promise: Promise<unknown> | undefined): Promise<Qcow2Error> {
  const error = await promise?.then(
    () => undefined,
    (thrown) => thrown,
  )
  if (!isQcow2Error(error)) throw new Error(`no Qcow2Error: ${error}`)
  return error
}

describe('a file on a server', () => {
  it('is read in parts', async () => {
    const storage = await opened()
    expect(await storage.size()).toBe(2 * MiB)
    expect(await storage.read(1 * MiB, 1000, { signal })).toEqual(bytesAt(1 * MiB, 1000))
    expect(await storage.read(2 * MiB - 10, 10, { signal })).toEqual(bytesAt(2 * MiB - 10, 10))
    expect(server.requests).toEqual(['GET bytes=0-262143', 'GET bytes=1048576-1049575', 'GET bytes=2097142-2097151'])
  })

  it('brings its beginning with the first answer', async () => {
    const storage = await opened()
    expect(await storage.read(100, 1000, { signal })).toEqual(bytesAt(100, 1000))
    expect(server.requests.length).toBe(1)
  })

  it.each([0, 1, 1000])('may have %i bytes', async (size) => {
    server.file = file.slice(0, size)
    const storage = await opened()
    expect(await storage.size()).toBe(size)
    expect(await storage.read(0, size, { signal })).toEqual(bytesAt(0, size))
  })

  it('may be empty, of which no part can be sent', async () => {
    Object.assign(server, { file: new Uint8Array(), ranges: false })
    expect(await (await opened()).size()).toBe(0)
  })

  it.each(['disk.qcow2', 'http://', ''])('has an address, which %j is not', (url) => {
    expect(() => http(url)).toThrow(/INVALID_ARGUMENT/)
  })

  it('ends where it ends', async () => {
    const storage = await opened()
    await expect(storage.read(2 * MiB - 1, 2, { signal })).rejects.toThrow(RangeError)
  })

  it('may be used by several images, and again after they were closed', async () => {
    server.file = readFileSync(convert('image.qcow2', contents(100_000)))
    const storage = http(server.url)
    const images = await Promise.all([Qcow2.open(storage), Qcow2.open(storage)])
    expect(server.requests.filter((request) => request === 'GET bytes=0-262143').length).toBe(1)
    for (const image of images) await image.close()
    expect((await failure(Promise.resolve().then(() => storage.size()))).code).toBe('CLOSED')
    expect((await Qcow2.open(storage)).size).toBe(images[0]?.size)
  })

  it('is asked for with the headers that the caller gives', async () => {
    await opened({ requestInit: { headers: { authorization: 'Bearer me' } } })
    expect(server.headers[0]).toMatchObject({ authorization: 'Bearer me', range: 'bytes=0-262143' })
  })

  it('is asked for by the function that the caller gives', async () => {
    const seen: unknown[] = []
    const fetchFn = (url: string, init: RequestInit) => {
      seen.push([url, init.cache])
      return fetch(url, init)
    }
    await opened({ fetchFn })
    expect(seen).toEqual([[server.url, 'no-store']])
  })

  it('is read ahead in few requests', async () => {
    const storage = http(server.url)
    await storage.open?.()
    for (let at = 0; at < 2 * MiB; at += 4 * KiB) await storage.read(at, 4 * KiB, { signal })
    expect(server.requests.length).toBeLessThanOrEqual(8)
  })

  it('is asked for by so many requests at one time', async () => {
    const storage = await opened({ connections: 3 })
    server.crowd = 3
    const offsets = Array.from({ length: 12 }, (_, index) => 300_000 + index * 1000)
    const reads = await Promise.all(offsets.map((offset) => storage.read(offset, 1000, { signal })))
    expect(reads).toEqual(offsets.map((offset) => bytesAt(offset, 1000)))
    expect(server.peak).toBe(3)
  })

  it.each([
    ['connections', { connections: 0 }],
    ['retries', { retries: -1 }],
    ['retryDelay', { retryDelay: 0.5 }],
  ])('has no %s like these', (_, options) => {
    expect(() => http(server.url, options)).toThrow(/INVALID_ARGUMENT/)
  })

  it('is not read synchronously outside of workers', () => {
    expect(() => http(server.url, { sync: true })).toThrow(/INVALID_ARGUMENT/)
  })
})

describe('a file that becomes another', () => {
  const read = (storage: { read: Awaited<ReturnType<typeof opened>>['read'] }) =>
    failure(storage.read(1 * MiB, 10, { signal }))

  it.each<[string, () => void]>([
    ['by its tag', () => (server.etag = '"2"')],
    ['by its date, if it has no tag', () => (server.modified = 'Tue, 02 Jan 2024 00:00:00 GMT')],
    ['by its length', () => (server.file = file.slice(0, 1.5 * MiB))],
    ['by its length, if it ends before', () => (server.file = file.slice(0, 1000))],
    ['by its absence', () => server.faults.push(status(404))],
    ['by a weak tag', () => (server.etag = 'W/"2"')],
  ])('is known %s', async (how, change) => {
    if (how.includes('no tag')) server.etag = undefined
    if (how.includes('length')) Object.assign(server, { etag: undefined, modified: undefined })
    if (how.includes('weak')) Object.assign(server, { etag: 'W/"1"', modified: undefined })
    const storage = await opened()
    change()
    expect(await read(storage)).toMatchObject({ code: 'FILE_CHANGED', offset: 1 * MiB })
  })

  it('is known to the server too, which is asked on one condition', async () => {
    const storage = await opened()
    await storage.read(1 * MiB, 10, { signal })
    expect(server.headers[1]?.['if-range']).toBe('"1"')
  })

  it.each([
    ['a weak tag', { etag: 'W/"1"' }, undefined],
    ['no tag, but a date', { etag: undefined }, 'Mon, 01 Jan 2024 00:00:00 GMT'],
    [
      'a date that may come again',
      { etag: undefined, modified: new Date(Date.now() + 3_600_000).toUTCString() },
      undefined,
    ],
    ['nothing', { etag: undefined, modified: undefined }, undefined],
  ])('is asked for with %s as only a strong condition allows', async (_, is, condition) => {
    Object.assign(server, is)
    const storage = await opened()
    await storage.read(1 * MiB, 10, { signal })
    expect(server.headers[1]?.['if-range']).toBe(condition)
  })

  it('in the same second is told by its tag, not by its date', async () => {
    const storage = await opened()
    server.modified = 'Tue, 02 Jan 2024 00:00:00 GMT'
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
  })
})

describe('what fails and may pass', () => {
  const broken: Fault = (response) => {
    response.writeHead(206, { 'content-range': `bytes 1048576-1048585/${2 * MiB}`, 'content-length': 10, etag: '"1"' })
    response.write(bytesAt(1 * MiB, 5), () => response.destroy())
  }
  it.each<[string, Fault]>([
    ['a connection that is reset', reset],
    ['an answer that breaks off', broken],
    ['a busy server', status(503)],
    ['too many requests', status(429, { 'retry-after': '0' })],
  ])('%s is tried again', async (_, fault) => {
    const storage = await opened({ retries: 2 })
    server.faults.push(fault, fault)
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
    expect(server.requests.length).toBe(4)
  })

  it('an answer that never ends is given up as soon as it is too long', async () => {
    const storage = await opened()
    const ended = new Promise<void>((resolve) => {
      server.faults.push((response) => {
        response.once('close', resolve)
        response.writeHead(206, { 'content-range': `bytes 1048576-1048585/${2 * MiB}`, etag: '"1"' })
        const more = () => void response.write(bytesAt(1 * MiB, 64 * KiB), (error) => error ?? more())
        more()
      })
    })
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
    await ended
    expect(server.requests.length).toBe(3)
  })

  it('is tried again when the file is opened', async () => {
    server.faults.push(reset, status(502))
    expect(await (await opened()).size()).toBe(2 * MiB)
  })

  it('is tried again when the file is opened that may be downloaded', async () => {
    server.faults.push(status(503), status(502))
    expect(await (await opened({ download: true })).size()).toBe(2 * MiB)
  })

  it('is told when patience is at an end', async () => {
    const storage = await opened({ retries: 1 })
    server.faults.push(reset, reset)
    const error = await failure(storage.read(1 * MiB, 10, { signal }))
    expect(error).toMatchObject({ code: 'STORAGE', offset: 1 * MiB })
    expect(error.cause).toBeInstanceOf(TypeError)
    server.faults.push(status(500), status(500))
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).reason).toMatch(/status 500/)
  })

  it('does not pass: a refusal', async () => {
    const storage = await opened()
    server.faults.push(status(403))
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).reason).toMatch(/status 403/)
    expect(server.requests.length).toBe(2)
  })

  it('does not pass: another part than was asked for', async () => {
    const storage = await opened()
    server.faults.push((response) => {
      response.writeHead(206, { 'content-range': `bytes 5-14/${2 * MiB}`, 'content-length': 10 }).end(file.slice(5, 15))
    })
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).reason).toMatch(/another part/)
  })

  it('does not pass: a part that does not say which it is, as others did', async () => {
    const storage = await opened()
    server.faults.push((response) => {
      response.writeHead(206, { 'content-length': 10 }).end(file.slice(5, 15))
    })
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).reason).toMatch(/another part/)
  })
})

describe('an aborted read', () => {
  it('rejects with the reason, and ends its request', async () => {
    const storage = await opened()
    const controller = new AbortController()
    const ended = new Promise<void>((resolve) => {
      server.faults.push((response) => {
        response.once('close', resolve)
        controller.abort(new Error('enough'))
      })
    })
    await expect(storage.read(1 * MiB, 10, { signal: controller.signal })).rejects.toThrow('enough')
    await ended
  })

  it('leaves its turn to others', async () => {
    const storage = await opened({ connections: 1 })
    const controller = new AbortController()
    server.crowd = 2
    const first = storage.read(1 * MiB, 10, { signal })
    const second = storage.read(1 * MiB, 20, { signal: controller.signal })
    const third = storage.read(1 * MiB, 30, { signal })
    controller.abort(new Error('enough'))
    await expect(second).rejects.toThrow('enough')
    server.crowd = 1
    // What came before the crowd was too small is let go by the next.
    await fetch(server.url)
    expect([(await first).length, (await third).length]).toEqual([10, 30])
  })

  it('does not wait for the next try', async () => {
    const storage = await opened({ retryDelay: 1_000_000 })
    const controller = new AbortController()
    server.faults.push((response) => {
      response.destroy()
      setImmediate(() => controller.abort(new Error('enough')))
    })
    await expect(storage.read(1 * MiB, 10, { signal: controller.signal })).rejects.toThrow('enough')
  })
})

describe('a server without ranges', () => {
  beforeEach(() => {
    server.ranges = false
  })

  it('is downloaded from once more if it breaks off', async () => {
    const half: Fault = (response) => {
      response.writeHead(200, { 'content-length': 2 * MiB })
      response.write(file.subarray(0, 1 * MiB), () => response.destroy())
    }
    // The first answer shows that there are no ranges; the second is the download.
    server.faults.push((response, request) => server.serve(response, request), half)
    const storage = await opened({ download: true })
    expect(Buffer.compare(await storage.read(0, 2 * MiB, { signal }), file)).toBe(0)
  })

  it('is no server whose answer to one request is another', async () => {
    server.ranges = true
    Object.assign(server, { etag: 'W/"1"' })
    const storage = await opened()
    server.ranges = false
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).code).toBe('NO_RANGES')
  })

  it('is one that compresses what it sends', async () => {
    server.faults.push((response) => {
      const headers = { 'content-encoding': 'zstd-of-its-own', 'content-range': `bytes 0-9/${2 * MiB}` }
      response.writeHead(206, headers).end(file.subarray(0, 10))
    })
    expect((await failure(opened())).code).toBe('NO_RANGES')
  })
})

describe('a server that does not show the length', () => {
  const unseen: Fault = (response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-262143/*', 'content-length': 256 * KiB })
    response.end(file.subarray(0, 256 * KiB))
  }

  it('is asked for it alone', async () => {
    server.faults.push(unseen)
    const storage = await opened()
    expect(await storage.size()).toBe(2 * MiB)
    expect(server.requests).toEqual(['GET bytes=0-262143', 'HEAD bytes=0-'])
  })

  it.each<[string, Fault]>([
    ['refuses that', status(405)],
    ['breaks off', reset],
  ])('is asked for all, and only its first words are heard, if it %s', async (_, fault) => {
    server.faults.push(unseen, fault)
    const storage = await opened()
    expect(await storage.size()).toBe(2 * MiB)
    expect(server.requests).toEqual(['GET bytes=0-262143', 'HEAD bytes=0-', 'GET bytes=0-'])
  })

  it('is refused if it does not tell', async () => {
    const silent: Fault = (response) => {
      response.writeHead(206, { 'content-range': `bytes 0-${2 * MiB - 1}/*` }).end(file)
    }
    server.faults.push(unseen, status(405), silent)
    expect((await failure(opened())).code).toBe('NO_RANGES')
  })
})
