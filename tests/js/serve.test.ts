import { describe, expect, it, vi } from 'vitest'
import { type ServedDisk, type ServeOptions, serve } from '../../src/js/hosts/serve.js'
import { Qcow2Error } from '../../src/js/index.js'
import { bytesAt } from './helpers/storages.js'

const size = 3_000_000
const disk = { size, readOnly: true, read: async (offset: number, length: number) => bytesAt(offset, length) }
const url = 'https://example.org/disk.img'

function ask(headers: Record<string, string> = {}, options: ServeOptions = {}, method = 'GET'): Promise<Response> {
  return serve(new Request(url, { method, headers }), disk, options)
}

const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer())

describe('the whole disk', () => {
  it('is served with its length', async () => {
    const response = await ask()
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe(String(size))
    expect(response.headers.get('accept-ranges')).toBe('bytes')
    expect(Buffer.compare(await bytesOf(response), bytesAt(0, size))).toBe(0)
  })

  it('has no body for HEAD', async () => {
    const response = await ask({}, {}, 'HEAD')
    expect([response.status, response.headers.get('content-length')]).toEqual([200, String(size)])
    expect(response.body).toBeNull()
  })

  it('is a download where it has a name', async () => {
    const { headers } = await ask({}, { filename: "Zoë's disk.img", type: 'application/x-raw-disk-image' })
    expect(headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''Zo%C3%AB%27s%20disk.img")
    expect(headers.get('content-type')).toBe('application/x-raw-disk-image')
  })

  it('cannot be changed', async () => {
    const response = await serve(new Request(url, { method: 'PUT', body: 'x' }), disk)
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })
})

describe('a range', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=1000-1999', 1000, 2000],
    ['bytes=2999999-', 2_999_999, size],
    ['bytes=2999000-9999999', 2_999_000, size],
    ['bytes=-500', size - 500, size],
    ['bytes=-9999999', 0, size],
    ['BYTES = 5-9', 5, 10],
    ['bytes=9999999-, 7-8', 7, 9],
  ])('%s is a part', async (range, start, end) => {
    const response = await ask({ range })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${size}`)
    expect(response.headers.get('content-length')).toBe(String(end - start))
    expect(Buffer.compare(await bytesOf(response), bytesAt(start, end - start))).toBe(0)
  })

  it.each(['bytes=3000000-', 'bytes=-0', `bytes=${Array(65).fill('0-0').join()}`])(
    'is refused that has nothing of the disk, or is too many: %#',
    async (range) => {
      const response = await ask({ range })
      expect([response.status, response.headers.get('content-range')]).toEqual([416, `bytes */${size}`])
    },
  )

  it.each(['lines=1-2', 'bytes=', 'bytes=5-4', 'bytes=a-b', 'bytes=1-2-3', 'bytes=-'])(
    '%s is ignored',
    async (range) => {
      const response = await ask({ range })
      expect(response.status).toBe(200)
      await response.body?.cancel()
    },
  )
})

it('several ranges are parts of one body', async () => {
  const response = await ask({ range: 'bytes=0-3, -2, 100-102' }, { type: 'application/x-disk' })
  expect(response.status).toBe(206)
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(response.headers.get('content-type') ?? '')?.[1]
  const body = await bytesOf(response)
  expect(response.headers.get('content-length')).toBe(String(body.length))
  const part = (start: number, end: number) =>
    `\r\n--${boundary}\r\ncontent-type: application/x-disk\r\ncontent-range: bytes ${start}-${end - 1}/${size}\r\n\r\n${Buffer.from(bytesAt(start, end - start)).toString('latin1')}`
  const expected = `${part(0, 4)}${part(size - 2, size)}${part(100, 103)}\r\n--${boundary}--\r\n`
  expect(Buffer.from(body).toString('latin1')).toBe(expected)
  const head = await ask({ range: 'bytes=0-3, -2, 100-102' }, { type: 'application/x-disk' }, 'HEAD')
  expect(head.headers.get('content-length')).toBe(String(body.length))
  expect(head.body).toBeNull()
})

describe('the ETag', () => {
  it('is the given one, or one of the open disk', async () => {
    expect((await ask({}, { etag: 'a "b"' }, 'HEAD')).headers.get('etag')).toBe('"a%20%22b%22"')
    const own = (await ask({}, {}, 'HEAD')).headers.get('etag')
    expect(own).toMatch(/^"[0-9a-f]{16}"$/)
    expect((await ask({}, {}, 'HEAD')).headers.get('etag')).toBe(own)
    const other = await serve(new Request(url), { ...disk })
    expect(other.headers.get('etag')).not.toBe(own)
    await other.body?.cancel()
  })

  it('is not there for a disk that changes, which is not to be kept', async () => {
    const response = await serve(new Request(url, { method: 'HEAD' }), { ...disk, readOnly: false })
    expect(response.headers.get('etag')).toBeNull()
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  it('decides about ranges and conditions', async () => {
    const etag = '"one"'
    const status = async (headers: Record<string, string>) => {
      const response = await ask(headers, { etag: 'one' })
      await response.body?.cancel()
      return response.status
    }
    expect(await status({ range: 'bytes=0-1', 'if-range': etag })).toBe(206)
    expect(await status({ range: 'bytes=0-1', 'if-range': '"two"' })).toBe(200)
    expect(await status({ range: 'bytes=0-1', 'if-range': 'Mon, 30 Nov 2026 12:00:00 GMT' })).toBe(200)
    expect(await status({ 'if-none-match': `"zero", W/${etag}` })).toBe(304)
    expect(await status({ 'if-none-match': '"zero"' })).toBe(200)
    expect(await status({ 'if-match': '"zero"' })).toBe(412)
    expect(await status({ 'if-match': '*' })).toBe(200)
  })
})

describe('the body', () => {
  it('is read no faster than it is consumed', async () => {
    const read = vi.fn(disk.read)
    const response = await serve(new Request(url), { ...disk, read })
    const reader = response.body?.getReader()
    await reader?.read()
    await new Promise((resolve) => setImmediate(resolve))
    expect(read.mock.calls.length).toBeLessThan(4)
    await reader?.cancel()
  })

  it('stops the read in flight when it is cancelled, or the request aborted', async () => {
    for (const stop of ['cancel', 'abort'] as const) {
      let asked = (_: AbortSignal | undefined) => {}
      const reading = new Promise<AbortSignal | undefined>((resolve) => {
        asked = resolve
      })
      const hanging: ServedDisk = {
        ...disk,
        read: async (offset, length, { signal } = {}) => {
          if (offset === 0) return bytesAt(offset, length)
          asked(signal)
          return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
        },
      }
      const controller = new AbortController()
      const response = await serve(new Request(url, { signal: controller.signal }), hanging)
      const reader = response.body?.getReader()
      await reader?.read()
      const next = reader?.read().catch(() => {})
      const signal = await reading
      if (stop === 'cancel') await reader?.cancel()
      else controller.abort()
      await next
      expect(signal?.aborted).toBe(true)
    }
  })

  it('is an answer in words where the disk cannot be read', async () => {
    const broken = {
      size,
      read: async () => {
        throw new Qcow2Error('NOT_PERMITTED', 'The storage does not work in a Service Worker.')
      },
    }
    const response = await serve(new Request(url), broken)
    expect(response.status).toBe(500)
    expect(await response.text()).toContain('NOT_PERMITTED: The storage does not work in a Service Worker.')
  })
})
