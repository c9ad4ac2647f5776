import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { type Fault, FileServer, reset, status } from '../js/helpers/server.js'
import { places, read } from './reading.js'
import { StorageLab } from './storage-lab.js'

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
  }, `${lab.url}index.js`)
  expect(seen).toEqual({ asked: [null, null], size: readFileSync('dist/index.js').length })
})
