import { readFileSync } from 'node:fs'
import { expose } from 'comlink'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { http, isQcow2Error, Qcow2 } from '../../src/js/index.js'
import { policyOf } from '../../www/policy.js'
import { fetchThrough } from '../../www/src/network/fetch.js'
import { requests } from '../../www/src/network/requests.js'
import { contents, convert, difference } from './helpers/qemu.js'
import { FileServer } from './helpers/server.js'

const disk = contents(3_000_000, 7)
const file = readFileSync(convert('page-network.qcow2', disk))
let server: FileServer
let channel: MessageChannel
const allowed = new Set<string>()

beforeEach(async () => {
  server = await new FileServer(file).start()
  channel = new MessageChannel()
  allowed.clear()
  expose(
    requests((url) => allowed.has(url)),
    channel.port1,
  )
})
afterEach(() => {
  server.stop()
  channel.port1.close()
})

const storage = (options: object = {}) =>
  http(server.url, { fetchFn: fetchThrough(channel.port2), retryDelay: 0, ...options })

describe('what the page fetches through its network worker', () => {
  it('is an image at an address that was allowed', async () => {
    allowed.add(server.url)
    await using image = await Qcow2.open(storage())
    expect(difference(await image.read(0, disk.length), disk)).toBe(-1)
  })

  it('is nothing of an address that was not', async () => {
    allowed.add(`${server.url}.other`)
    const error = await Qcow2.open(storage({ retries: 0 })).catch((thrown) => thrown)
    expect(isQcow2Error(error) && error.code).toBe('STORAGE')
    expect(error.message).toMatch(/was not given the address/)
    expect(server.requests).toEqual([])
  })

  it('brings nothing to the server but ranges', async () => {
    allowed.add(server.url)
    const fetchFn = fetchThrough(channel.port2)
    const headers = { 'x-of-the-image': 'bytes', cookie: 'a=b', range: 'bytes=0-9' }
    expect((await fetchFn(server.url, { headers })).status).toBe(206)
    expect(server.headers[0]).toMatchObject({ range: 'bytes=0-9' })
    expect(Object.keys(server.headers[0] ?? {})).not.toContain('x-of-the-image')
    await expect(fetchFn(server.url, { method: 'POST', body: 'bytes' })).rejects.toThrow(/POST/)
  })

  it('ends at the server too when it is aborted', async () => {
    allowed.add(server.url)
    const controller = new AbortController()
    const ended = new Promise<void>((resolve) => {
      server.faults.push((response) => {
        response.once('close', resolve)
        response.writeHead(200).write('a part')
      })
    })
    const response = await fetchThrough(channel.port2)(server.url, { signal: controller.signal })
    const text = response.text()
    controller.abort(new Error('enough'))
    await expect(text).rejects.toThrow('enough')
    await ended
  })

  it('ends at the server too when the rest is not wanted', async () => {
    allowed.add(server.url)
    const ended = new Promise<void>((resolve) => {
      server.faults.push((response) => {
        response.once('close', resolve)
        response.writeHead(200).write('a part')
      })
    })
    const response = await fetchThrough(channel.port2)(server.url, {})
    await response.body?.cancel()
    await ended
  })

  it('leads nowhere where redirects form a loop', async () => {
    allowed.add(server.url)
    server.always = (response, request) => void response.writeHead(302, { location: request.url ?? '' }).end()
    const error = await Qcow2.open(storage()).catch((thrown) => thrown)
    expect(error.reason).toMatch(/redirects/)
  })
})

it('the policies that a host is asked to send are those of the page', () => {
  const text = readFileSync('docs/hosting.md', 'utf8')
  const named = new Set([...text.matchAll(/"?(default-src 'none'[^"\n]*)/g)].map(([, policy]) => policy))
  const sent = ['/index.html', '/assets/worker-abc.js', '/assets/network-abc.js', '/emulator/', '/emulator/index.html']
  expect([...named].sort()).toEqual([...new Set(sent.map(policyOf))].sort())
})
