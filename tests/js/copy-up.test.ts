import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { http, memory, overlay, Qcow2 } from '../../src/js/index.js'
import { check, contents, convert, difference, disk, save } from './helpers/qemu.js'
import { FileServer, status } from './helpers/server.js'

const MiB = 1024 * 1024
const size = 12 * MiB + 512 * 5
const bytes = contents(size, 4)
const base = convert('base.qcow2', bytes)
let server: FileServer

beforeEach(async () => {
  server = await new FileServer(readFileSync(base)).start()
})
afterEach(() => server.stop())

/** The disk as QEMU reads it, which finds no backing file. */
function alone(local: { bytes(): Uint8Array }): Uint8Array {
  const path = save('alone.qcow2', local.bytes())
  expect(check(path)).toBe('clean')
  return disk(path)
}

describe('copyUp', () => {
  it('makes an overlay independent of its server, with what is written meanwhile', async () => {
    const local = memory()
    const image = await overlay(http(server.url), local)
    const expected = bytes.slice()
    const told: { done: number; total: number }[] = []
    const copying = image.copyUp({ requests: 3, onProgress: (progress) => told.push(progress) })
    for (let at = 1000; at < size - 5000; at += 700_000) {
      const written = new Uint8Array(5000).fill(at % 251)
      expected.set(written, at)
      await image.write(at, written)
    }
    await copying
    expect((await image.info()).backingFile).toBeUndefined()
    expect(difference(await image.read(0, size), expected)).toBe(-1)
    await image.close()
    server.stop()

    const first = told[0]
    expect(first).toMatchObject({ done: 0 })
    expect(told.at(-1)).toEqual({ done: first?.total, total: first?.total })
    expect(told.every(({ done }, index) => done >= (told[index - 1]?.done ?? 0))).toBe(true)
    expect(difference(alone(local), expected)).toBe(-1)
    await using again = await Qcow2.open(local)
    expect(difference(await again.read(0, size), expected)).toBe(-1)
  })

  it('asks the server for no more at one time than it may', async () => {
    const image = await overlay(http(server.url, { readAhead: false }), memory())
    server.peak = 0
    await image.copyUp({ requests: 2 })
    await image.close()
    expect(server.peak).toBeLessThanOrEqual(2)
  })

  it('that is aborted goes on the next time', async () => {
    const local = memory()
    const options = { readAhead: false } as const
    const image = await overlay(http(server.url, options), local)
    const abort = new AbortController()
    const reason = new Error('enough')
    const onProgress = ({ done }: { done: number }) => {
      if (done >= 4 * MiB) abort.abort(reason)
    }
    await expect(image.copyUp({ signal: abort.signal, onProgress })).rejects.toBe(reason)
    expect((await image.info()).backingFile).toBeDefined()
    await image.close()

    const again = await overlay(http(server.url, options), local)
    let total = 0
    await again.copyUp({ onProgress: (progress) => (total = progress.total) })
    await again.close()
    expect(total).toBeLessThanOrEqual(size - 4 * MiB)
    expect(difference(alone(local), bytes)).toBe(-1)
  })

  it('that fails reports why, and leaves no request under way', async () => {
    const image = await overlay(http(server.url, { readAhead: false, retries: 0 }), memory())
    server.faults.push(status(404))
    await expect(image.copyUp()).rejects.toMatchObject({ code: 'FILE_CHANGED' })
    const { length } = server.requests
    await image.close()
    expect(server.requests.length).toBe(length)
  })

  it('is refused where snapshots may need the base, and has nothing to do without one', async () => {
    const image = await overlay(http(server.url), memory())
    await image.snapshots.create('one')
    await expect(image.copyUp()).rejects.toMatchObject({ code: 'BACKING_NEEDED' })
    await image.close()
    await using plain = await Qcow2.create(memory(), { size })
    await plain.copyUp()
  })
})
