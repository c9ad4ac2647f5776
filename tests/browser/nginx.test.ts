import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Nginx, type Way } from '../js/helpers/nginx.js'
import { contents, convert } from '../js/helpers/qemu.js'
import { places, read } from './reading.js'
import { StorageLab } from './storage-lab.js'

const MiB = 1024 * 1024
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const disk = contents(4 * MiB, 5)
const image = readFileSync(convert('image.qcow2', disk))
const expected = hash(disk)
const lab = new StorageLab()
const nginx = new Nginx()
let name = ''

beforeAll(async () => {
  await nginx.start()
  await lab.start()
})
afterAll(async () => {
  await lab.stop()
  await nginx.stop()
})
beforeEach(() => {
  name = `${randomUUID()}.qcow2`
  nginx.put(name, image)
})

describe.each(places)('from a web server on another origin %s', (_, worker, options) => {
  const run = (way: Way, more: object = {}): Promise<string> => {
    const given = [nginx.url(way, name), { ...options, ...more }] as const
    return worker ? lab.inWorker(read, ...given) : lab.onPage(read, ...given)
  }

  it.each<[string, Way]>([
    ['that exposes what is needed', 'open'],
    ['that exposes nothing', 'bare'],
    ['that exposes nothing and refuses HEAD', 'no-head'],
    ['that compresses, but no parts', 'packed'],
    ['that leads elsewhere for ever', 'moved/301'],
    ['that leads elsewhere for now', 'moved/302'],
    ['that leads elsewhere with the same method', 'moved/307'],
    ['that leads to a third origin', 'moved/elsewhere'],
  ])('%s an image is read', async (_, way) => {
    expect(await run(way)).toBe(expected)
  })

  it('that permits nothing there is no image', async () => {
    expect(await run('plain', { retries: 0 })).toBe('STORAGE')
  })

  it.each<[string, Way]>([
    ['without ranges', 'whole'],
    ['without ranges, that sends what was compressed before', 'prepacked'],
  ])('%s an image is downloaded', async (_, way) => {
    expect(await run(way)).toBe('NO_RANGES')
    expect(await run(way, { download: true })).toBe(expected)
  })

  it('an image that is longer when it is compressed is downloaded', async () => {
    const noise = crypto.getRandomValues(new Uint8Array(65536))
    const image = readFileSync(convert('noise.qcow2', noise, '-o', 'cluster_size=512'))
    nginx.put(name, image)
    expect(await run('prepacked', { download: true })).toBe(hash(noise))
  })

  it('an image is read with a password', async () => {
    const headers = { authorization: `Basic ${btoa('me:secret')}` }
    expect(await run('secret')).toBe('STORAGE')
    expect(await run('secret', { requestInit: { headers } })).toBe(expected)
  })

  it('credentials need a permission that names the page', async () => {
    expect(await run('open', { requestInit: { credentials: 'include' }, retries: 0 })).toBe('STORAGE')
  })

  it('the next image of that name is read, whatever the browser has kept of the last', async () => {
    expect(await run('caching')).toBe(expected)
    const next = contents(disk.length, 6)
    nginx.put(name, readFileSync(convert('next.qcow2', next)))
    expect(await run('caching')).toBe(hash(next))
  })
})
