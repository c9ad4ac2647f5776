import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { type Fault, FileServer, reset, status } from '../js/helpers/server.js'
import { StorageLab, type Work } from './storage-lab.js'

const disk = contents(4 * 1024 * 1024, 5)
const image = readFileSync(convert('image.qcow2', disk))
const expected = createHash('sha256').update(disk).digest('hex')
const lab = new StorageLab()
let server: FileServer

beforeAll(() => lab.start(), 60_000)
afterAll(() => lab.stop())
/** Each test gets a server of its own, and with it an origin. */
beforeEach(async () => {
  server = await new FileServer(image).start()
})
afterEach(() => server.stop())

/** Reads a whole disk; its hash, or the code of the error. */
const read: Work<[string, object], string> = async ({ http, isQcow2Error, Qcow2 }, url, options) => {
  try {
    const image = await Qcow2.open(http(url, { retryDelay: 1, ...options }))
    const bytes = image.sync ? image.readSync(0, image.size) : await image.read(0, image.size)
    await image.close()
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
  } catch (error) {
    return isQcow2Error(error) ? error.code : String(error)
  }
}

const places = [
  ['on a page', false, {}],
  ['in a worker', true, {}],
  ['in a worker, synchronously', true, { sync: true }],
] as const

describe.each(places)('from another origin %s', (_, worker, options) => {
  const run = (more: object = {}): Promise<string> => {
    const given = { ...options, ...more }
    return worker ? lab.inWorker(read, server.url, given) : lab.onPage(read, server.url, given)
  }

  it('an image is read', async () => {
    server.exposed = 'Content-Range, ETag'
    expect(await run()).toBe(expected)
    expect(server.requests.length).toBeLessThan(30)
  })

  it('that exposes nothing an image is read', async () => {
    server.exposed = ''
    expect(await run()).toBe(expected)
    expect(server.requests.filter((request) => request.startsWith('HEAD')).length).toBe(1)
  })

  it('that exposes nothing an image that becomes another is known by its date', async () => {
    server.exposed = ''
    const well: Fault = (...answer) => server.serve(...answer)
    server.faults.push(well, well, (...answer) => {
      server.modified = 'Tue, 02 Jan 2024 00:00:00 GMT'
      server.serve(...answer)
    })
    expect(await run()).toBe('FILE_CHANGED')
  })

  it('the next image of that name is read, whatever the browser has kept of the last', async () => {
    server.exposed = 'Content-Range, ETag'
    server.allowed = 'Cache-Control'
    expect(await run()).toBe(expected)
    const next = contents(disk.length, 6)
    server.file = readFileSync(convert('next.qcow2', next))
    server.etag = '"2"'
    expect(await run()).toBe(createHash('sha256').update(next).digest('hex'))
  })

  it('that permits nothing there is no image', async () => {
    expect(await run({ retries: 0 })).toBe('STORAGE')
  })

  it('what fails is tried again', async () => {
    server.exposed = 'Content-Range, ETag'
    server.faults.push(reset, status(503), (...answer) => server.serve(...answer), reset, status(500))
    expect(await run()).toBe(expected)
  })

  it('without ranges an image is downloaded', async () => {
    server.exposed = ''
    server.ranges = false
    expect(await run()).toBe('NO_RANGES')
    expect(await run({ download: true })).toBe(expected)
  })

  it('credentials need a permission that names the page', async () => {
    server.exposed = ''
    expect(await run({ requestInit: { credentials: 'include' }, retries: 0 })).toBe('STORAGE')
  })
})

it('from the same origin the server is asked on one condition', async () => {
  const seen = await lab.inWorker(async ({ http }, path) => {
    const asked: (string | null)[] = []
    const fetchFn = (url: string, init: RequestInit) => {
      asked.push(new Headers(init.headers).get('if-range'))
      return fetch(url, init)
    }
    const storage = http(path, { fetchFn, download: true })
    await storage.open?.()
    return { asked, size: await storage.size() }
  }, `${lab.url}index.js`)
  expect(seen).toEqual({ asked: [null, null], size: readFileSync('dist/index.js').length })
})
