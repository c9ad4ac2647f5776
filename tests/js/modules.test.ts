import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Qcow2 } from '../../src/js/index.js'
import { contents, convert, file as fileOf, qemuImg } from './helpers/qemu.js'
import { createEncrypted, luks, passphrase } from './helpers/secret.js'
import { CountedStorage } from './helpers/storages.js'
import { trapping } from './helpers/trapping.js'

const MiB = 1024 * 1024
const bytes = contents(MiB, 9)
const path = convert('modules.qcow2', bytes)
qemuImg('snapshot', '-c', 'first', path)
qemuImg('bitmap', '--add', path, 'dirty')
const file = readFileSync(path)
const base = createEncrypted('modules-encrypted.qcow2', luks)
const encrypted = readFileSync(base)
qemuImg('create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', base, 'modules-overlay.qcow2', '1M')
const overlay = readFileSync(fileOf('modules-overlay.qcow2'))

const wasm = readFileSync(new URL('../../src/js/generated/qcow2_web_bg.wasm', import.meta.url))
const reader = readFileSync(new URL('../../src/js/reader/generated/qcow2_web_reader_bg.wasm', import.meta.url))

beforeEach(() => {
  vi.resetModules()
})

/** The package as a program gets it that has just started, and which modules it loads. */
async function fresh(changed: { readonly wasm?: () => BufferSource | Promise<never> } = {}) {
  const loaded: string[] = []
  const source = (name: string, give: () => BufferSource | Promise<never>) => () => {
    loaded.push(name)
    return give() as ArrayBuffer
  }
  const all = await import('../../src/js/index.js')
  all.configure({ wasm: source('whole', changed.wasm ?? (() => wasm)), reader: source('reader', () => reader) })
  return { ...all, loaded }
}

async function extents<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe('an image that is opened for reading', () => {
  it('needs the reader alone, for all that reads', async () => {
    const { Qcow2, memory, loaded } = await fresh()
    await using image = await Qcow2.open(memory(file))
    expect(Buffer.compare(await image.read(0, MiB), bytes)).toBe(0)
    expect(Buffer.compare(image.readSync(0, MiB), bytes)).toBe(0)
    await image.info()
    await image.locate(0)
    await extents(image.map())
    expect(image.bitmaps.list).toBeTypeOf('function')
    await using snapshot = await image.snapshots.open('first')
    expect(Buffer.compare(await snapshot.read(0, MiB), bytes)).toBe(0)
    await expect(image.write(0, bytes)).rejects.toMatchObject({ code: 'READ_ONLY' })
    expect(() => image.writeSync(0, bytes)).toThrow(expect.objectContaining({ code: 'READ_ONLY' }))
    await expect(image.flush()).rejects.toMatchObject({ code: 'READ_ONLY' })
    await expect(image.snapshots.create('second')).rejects.toMatchObject({ code: 'READ_ONLY' })
    expect(loaded).toEqual(['reader'])
  })

  it.each<[string, (image: Qcow2) => Promise<unknown>]>([
    ['check', (image) => image.check()],
    ['diff', (image) => extents(image.diff('first'))],
    ['the extents of a bitmap', (image) => extents(image.bitmaps.extents('dirty'))],
  ])('loads the whole engine for %s, which reads the same storage', async (_, work) => {
    const { Qcow2, loaded } = await fresh()
    const storage = new CountedStorage(file)
    const image = await Qcow2.open(storage)
    const found = await work(image)
    expect(loaded).toEqual(['reader', 'whole'])
    expect(Buffer.compare(await image.read(0, MiB), bytes)).toBe(0)
    expect(await work(image)).toEqual(found)
    expect((await image.statistics()).storage.reads).toBe(storage.requests)
    await image.close()
    expect(storage.closed).toBe(1)
    await expect(work(image)).rejects.toMatchObject({ code: 'CLOSED' })

    await using other = await Qcow2.open(new CountedStorage(file), { cacheSize: { tables: 0 } })
    expect(await work(other)).toEqual(found)
  })

  it('loads the whole engine if it is encrypted, and opens its storage once', async () => {
    const { Qcow2, loaded } = await fresh()
    const opened = vi.fn()
    const storage = Object.assign(new CountedStorage(encrypted), { open: opened })
    const asked = vi.fn(() => passphrase)
    const image = await Qcow2.open(storage, { passphrase: asked })
    expect(await image.read(0, 512)).toEqual(new Uint8Array(512))
    expect(image.keySlots.list).toBeTypeOf('function')
    expect(loaded).toEqual(['reader', 'whole'])
    expect(opened).toHaveBeenCalledOnce()
    expect(asked).toHaveBeenCalledOnce()
    await image.close()
    expect(storage.closed).toBe(1)
  })

  it('loads the whole engine if a file of its chain is encrypted, which is asked for once', async () => {
    const { Qcow2, memory, loaded } = await fresh()
    const backing = vi.fn(() => ({ storage: new CountedStorage(encrypted), passphrase }))
    await using image = await Qcow2.open(memory(overlay), { backing })
    expect(await image.read(0, 512)).toEqual(new Uint8Array(512))
    expect(backing).toHaveBeenCalledOnce()
    expect(loaded).toEqual(['reader', 'whole'])
  })

  it('is opened in the whole engine where that is loaded already', async () => {
    const { Qcow2, memory, init, loaded } = await fresh()
    await init({ writable: true })
    await using image = await Qcow2.open(memory(file))
    await image.check()
    expect(loaded).toEqual(['whole'])
  })

  it('goes on when the whole engine cannot be loaded, which is tried again', async () => {
    let online = false
    const { Qcow2, memory } = await fresh({ wasm: () => (online ? wasm : Promise.reject(new Error('offline'))) })
    await using image = await Qcow2.open(memory(file))
    await expect(image.check()).rejects.toMatchObject({ code: 'LOAD_FAILED' })
    expect(Buffer.compare(await image.read(0, MiB), bytes)).toBe(0)
    online = true
    expect((await image.check()).verdict).toBe('clean')
  })

  it('goes on when the whole engine failed for it, and what is opened next gets another one', async () => {
    const { Qcow2, memory } = await fresh({ wasm: () => new Uint8Array(trapping(wasm, 'wasmimage_check')) })
    await using image = await Qcow2.open(memory(file))
    await expect(image.check()).rejects.toMatchObject({ code: 'ENGINE_FAILED' })
    expect(Buffer.compare(await image.read(0, MiB), bytes)).toBe(0)
    await using other = await Qcow2.open(memory(file), { writable: true })
    await other.write(0, bytes)
  })

  it('can be closed while the whole engine is loaded for it', async () => {
    let load = (_: BufferSource) => {}
    const slow = new Promise<BufferSource>((resolve) => {
      load = resolve
    })
    const { Qcow2 } = await fresh({ wasm: () => slow as Promise<never> })
    const storage = new CountedStorage(file)
    const image = await Qcow2.open(storage)
    const [check, diff] = [image.check(), extents(image.diff('first'))]
    await image.close()
    load(wasm)
    await expect(check).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(diff).rejects.toMatchObject({ code: 'CLOSED' })
    expect(storage.closed).toBe(1)
  })

  it('lets an operation be aborted while the whole engine is loaded for it', async () => {
    const { Qcow2, memory } = await fresh({ wasm: () => new Promise<never>(() => {}) })
    const image = await Qcow2.open(memory(file))
    const stop = new AbortController()
    const check = image.check({ signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(check).rejects.toThrow('enough')
    await image.close()
  })
})

it.each<[string, string[]]>([
  ['open for writing', ['whole']],
  ['check', ['whole']],
  ['inspect', ['whole']],
])('%s needs no reader', async (what, expected) => {
  const { Qcow2, memory, check, inspect, loaded } = await fresh()
  if (what === 'check') await check(memory(file))
  else if (what === 'inspect') await inspect(memory(file))
  else await (await Qcow2.open(memory(file), { writable: true })).close()
  expect(loaded).toEqual(expected)
})
