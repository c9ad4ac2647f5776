import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
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
    ['timeout', { timeout: -1 }],
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

  it('in the same second is noticed by its tag, not by its date', async () => {
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

  it('an answer that never ends is aborted as soon as it is too long', async () => {
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

  it('is reported when no more attempts are left', async () => {
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

  it('does not pass: a part that does not state its range, as others did', async () => {
    const storage = await opened()
    server.faults.push((response) => {
      response.writeHead(206, { 'content-length': 10 }).end(file.slice(5, 15))
    })
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).reason).toMatch(/another part/)
  })
})

describe('a loop of redirects', () => {
  const around: Fault = (response, request) => {
    response.writeHead(302, { location: request.url ?? '' }).end()
  }

  it('is followed twice at most, and named as what it may be', async () => {
    server.always = around
    const error = await failure(opened({ retries: 4 }))
    expect(error).toMatchObject({ code: 'STORAGE', cause: expect.any(TypeError) })
    expect(error.reason).toMatch(/redirects/)
    // A client follows some twenty redirects; one request more finds out that there are any.
    expect(server.requests.length).toBeLessThanOrEqual(2 * 21 + 1)
  })

  it('does not keep a server from being asked again that redirects to one which fails for a moment', async () => {
    const path = new URL(server.url).pathname
    const target = `${path}.moved`
    let failing = 2
    server.always = (response, request) => {
      if (request.url === path) response.writeHead(302, { location: target }).end()
      else if (failing > 0 && request.url === target) {
        failing -= 1
        reset(response, request)
      } else server.serve(response, request)
    }
    failing = 1
    expect(await (await opened({ retries: 4 })).size()).toBe(2 * MiB)
  })

  it('is not looked for where no redirect is', async () => {
    server.always = reset
    await failure(opened({ retries: 3 }))
    expect(server.requests.length).toBe(4 + 1)
  })
})

describe('a server that sends nonsense', () => {
  const part = (contentRange: string): Fault => {
    return (response) => {
      const headers = { 'content-range': contentRange, 'content-length': 256 * KiB }
      response.writeHead(206, headers).end(file.subarray(0, 256 * KiB))
    }
  }

  it.each([
    ['a length beyond every file', 'bytes 0-262143/99999999999999999999'],
    ['a length beyond what numbers hold', `bytes 0-262143/${2 ** 53}`],
    ['a part that ends past the end', 'bytes 0-262143/1000'],
    ['a part that ends before it begins', `bytes 5-4/${2 * MiB}`],
    ['another end than that of the part', `bytes 0-99/${2 * MiB}`],
  ])('of %s is at fault, and not asked again', async (_, contentRange) => {
    server.faults.push(part(contentRange))
    const error = await failure(opened())
    expect(error.code).toBe('STORAGE')
    expect(error.reason).toMatch(/server/)
    expect(server.requests.length).toBe(1)
  })

  it('about the length of all is at fault', async () => {
    const hidden = part('bytes 0-262143/*')
    server.faults.push(hidden, status(200, { 'content-length': '99999999999999999999' }), status(405))
    expect((await failure(opened({ retries: 0 }))).code).toBe('STORAGE')
  })

  it('when it is read is at fault', async () => {
    const storage = await opened()
    server.faults.push(part('bytes 1048576-1048585/99999999999999999999'))
    expect((await failure(storage.read(1 * MiB, 10, { signal }))).code).toBe('STORAGE')
  })
})

describe('a server that goes silent', () => {
  const silent: Fault = () => {}
  const halfway: Fault = (response) => {
    response.writeHead(206, { 'content-range': `bytes 1048576-1048585/${2 * MiB}`, 'content-length': 10, etag: '"1"' })
    response.write(bytesAt(1 * MiB, 5))
  }

  it.each<[string, Fault]>([
    ['before its answer', silent],
    ['within its answer', halfway],
  ])('%s is asked once more', async (_, fault) => {
    const storage = await opened({ timeout: 20 })
    server.faults.push(fault)
    expect(await storage.read(1 * MiB, 10, { signal })).toEqual(bytesAt(1 * MiB, 10))
    expect(server.requests.length).toBe(3)
  })

  it('twice is an error, and its connections are closed', async () => {
    const storage = await opened({ timeout: 20, retries: 4 })
    const closed: Promise<void>[] = []
    server.always = (response) => {
      closed.push(new Promise((resolve) => response.once('close', resolve)))
    }
    const error = await failure(storage.read(1 * MiB, 10, { signal }))
    expect(error).toMatchObject({ code: 'STORAGE', offset: 1 * MiB })
    expect(error.reason).toMatch(/sent nothing for 0.02 seconds/)
    await Promise.all(closed)
    expect(closed.length).toBe(2)
  })

  it('is refused when it is opened, however it is asked', async () => {
    server.always = silent
    expect((await failure(opened({ timeout: 20 }))).code).toBe('STORAGE')
    const deaf = () => new Promise<Response>(() => {})
    expect((await failure(opened({ timeout: 20, fetchFn: deaf }))).code).toBe('STORAGE')
  })

  it('is refused while the whole file is fetched', async () => {
    server.ranges = false
    server.always = (response) => {
      response.writeHead(200, { 'content-length': 2 * MiB }).write(file.subarray(0, 1 * MiB))
    }
    expect((await failure(opened({ timeout: 20, download: true }))).code).toBe('STORAGE')
  })

  it('is no server that is slow', async () => {
    const timeout = 200
    const storage = await opened({ timeout })
    const begin = performance.now()
    server.faults.push((response) => {
      const headers = { 'content-range': `bytes 1048576-1048675/${2 * MiB}`, 'content-length': 100, etag: '"1"' }
      response.writeHead(206, headers)
      let sent = 0
      const timer = setInterval(() => {
        response.write(bytesAt(1 * MiB + sent, 1))
        sent += 1
        if (sent === 100) response.end()
        if (sent === 100) clearInterval(timer)
      }, 8)
    })
    expect(await storage.read(1 * MiB, 100, { signal })).toEqual(bytesAt(1 * MiB, 100))
    expect(performance.now() - begin).toBeGreaterThan(2 * timeout)
    expect(server.requests.length).toBe(2)
  })

  it('is waited for as long as it takes where the timeout is 0', async () => {
    const storage = await opened({ timeout: 0 })
    const controller = new AbortController()
    server.faults.push(() => controller.abort(new Error('enough')))
    await expect(storage.read(1 * MiB, 10, { signal: controller.signal })).rejects.toThrow('enough')
    expect(server.requests.length).toBe(2)
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

  it.each([1, 1000, 256 * KiB])('whose file has %i bytes has sent all of them', async (size) => {
    server.file = file.slice(0, size)
    const storage = await opened()
    expect(await storage.size()).toBe(size)
    expect(await storage.read(0, size, { signal })).toEqual(bytesAt(0, size))
    expect(server.requests.length).toBe(1)
    expect(storage.identity?.()).toBe(`${server.url}#size=${size}&etag=%221%22`)
  })

  it('that does not send the length of the file has sent all when the answer ends', async () => {
    server.faults.push((response) => {
      response.write(file.subarray(0, 1000))
      response.end(file.subarray(1000, 3000))
    })
    const storage = await opened()
    expect(await storage.read(0, 3000, { signal })).toEqual(bytesAt(0, 3000))
  })

  it('that compresses a small file has sent all of it', async () => {
    const packed = gzipSync(file.subarray(0, 3000))
    server.faults.push((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed)
    })
    const storage = await opened()
    expect(await storage.read(0, 3000, { signal })).toEqual(bytesAt(0, 3000))
  })

  it('that breaks off within a small file is asked again', async () => {
    server.file = file.slice(0, 3000)
    server.faults.push((response) => {
      response.writeHead(200, { 'content-length': 3000 })
      response.write(file.subarray(0, 1000), () => response.destroy())
    })
    const storage = await opened()
    expect(await storage.read(0, 3000, { signal })).toEqual(bytesAt(0, 3000))
    expect(server.requests.length).toBe(2)
  })

  it.each([
    ['says', true],
    ['does not say', false],
  ])('whose file is longer is not read, whether or not it %s so', async (_, says) => {
    server.always = (response) => {
      if (says) response.setHeader('content-length', 2 * MiB)
      response.end(file)
    }
    expect((await failure(opened())).code).toBe('NO_RANGES')
    expect(server.requests.length).toBe(1)
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

  it('is refused if it sends no length', async () => {
    const silent: Fault = (response) => {
      response.writeHead(206, { 'content-range': `bytes 0-${2 * MiB - 1}/*` }).end(file)
    }
    server.faults.push(unseen, status(405), silent)
    expect((await failure(opened())).code).toBe('NO_RANGES')
  })
})
