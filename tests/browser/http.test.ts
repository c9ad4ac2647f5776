import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SyncStorage } from '../../src/js/index.js'
import { contents, convert } from '../js/helpers/qemu.js'
import { type Fault, FileServer, reset, status } from '../js/helpers/server.js'
import { places, read } from './reading.js'
import { StorageLab, type Work } from './storage-lab.js'

const disk = contents(4 * 1024 * 1024, 5)
const image = readFileSync(convert('image.qcow2', disk))
const expected = createHash('sha256').update(disk).digest('hex')
const lab = new StorageLab()
let server: FileServer

beforeAll(() => lab.start())
afterAll(() => lab.stop())
/** Each test gets a server of its own, and with it an origin. */
beforeEach(async () => {
  server = await new FileServer(image).start()
})
afterEach(() => server.stop())

/** Reads a few bytes of the file itself; the code of the error, if there is one. */
const readOne: Work<[string, object], string> = async ({ http, isQcow2Error }, url, options) => {
  const storage = http(url, { retryDelay: 1, ...options })
  try {
    await storage.open?.()
    if ('readSync' in storage) (storage as SyncStorage).readSync(3_000_000, new Uint8Array(10))
    else await storage.read(3_000_000, 10, new AbortController())
    return 'fine'
  } catch (error) {
    return isQcow2Error(error) ? error.code : String(error)
  }
}

describe.each(places)('from another origin %s', (_, worker, options) => {
  const run = (more: object = {}): Promise<string> => {
    const given = { ...options, ...more }
    return worker ? lab.inWorker(read, server.url, given) : lab.onPage(read, server.url, given)
  }

  it('that exposes nothing an image that becomes another is known by its date', async () => {
    server.exposed = ''
    const well: Fault = (...answer) => server.serve(...answer)
    server.faults.push(well, well, (...answer) => {
      server.modified = 'Tue, 02 Jan 2024 00:00:00 GMT'
      server.serve(...answer)
    })
    expect(await run()).toBe('FILE_CHANGED')
  })

  it('that ignores ranges a small image is read', async () => {
    const small = contents(61_440, 6)
    const file = readFileSync(convert('small.qcow2', small, '-o', 'cluster_size=4096'))
    Object.assign(server, { exposed: '', ranges: false, file })
    expect(file.length).toBeLessThan(256 * 1024)
    expect(await run()).toBe(createHash('sha256').update(small).digest('hex'))
  })

  it('that redirects in circles is followed twice at most', async () => {
    server.exposed = 'Content-Range, ETag'
    server.always = (response, request) => void response.writeHead(302, { location: request.url ?? '' }).end()
    expect(await run({ retries: 4 })).toBe('STORAGE')
    expect(server.requests.length).toBeLessThanOrEqual(2 * 21 + 1)
  })

  it('that goes silent is asked once more', async () => {
    server.exposed = 'Content-Range, ETag'
    const well: Fault = (...answer) => server.serve(...answer)
    let silent = 0
    server.faults.push(well)
    server.always = () => {
      silent += 1
    }
    const given = [server.url, { ...options, timeout: 100, readAhead: false }] as const
    expect(await (worker ? lab.inWorker(readOne, ...given) : lab.onPage(readOne, ...given))).toBe('STORAGE')
    expect(silent).toBe(2)
  })

  it('what fails is tried again', async () => {
    server.exposed = 'Content-Range, ETag'
    server.faults.push(reset, status(503), (...answer) => server.serve(...answer), reset, status(500))
    expect(await run()).toBe(expected)
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
  }, `${lab.url}generated/qcow2_web_bg.wasm`)
  expect(seen).toEqual({ asked: [null, null], size: readFileSync('dist/generated/qcow2_web_bg.wasm').length })
})
