import { describe, expect, it } from 'vitest'
import { type CreateOptions, memory, nodeFile, Qcow2, type WritableStorage } from '../../src/js/index.js'
import { contents, create, difference, disk, file, json, qemuImg, qemuIo, save } from './helpers/qemu.js'
import { delayed } from './helpers/storages.js'

const KiB = 1024
const MiB = 1024 * KiB

/** Every kind of storage that is here; what is written ends up in a file. */
const storages: [string, (path: string) => WritableStorage][] = [
  ['an asynchronous file', (path) => nodeFile(path, { create: true })],
  ['a synchronous file', (path) => nodeFile(path, { create: true, sync: true })],
  ['a slow file', (path) => delayed(nodeFile(path, { create: true }))],
]

/** `qemu-img check` finds nothing wrong. */
function check(name: string): void {
  qemuImg('check', '-q', name)
}

describe.each(storages)('over %s', (_, open) => {
  it('an image is created, written, and read again', async () => {
    const name = `created-${_}.qcow2`.replaceAll(' ', '-')
    const expected = contents(3 * MiB)
    {
      await using image = await Qcow2.create(open(file(name)), { size: expected.length })
      expect(image.readOnly).toBe(false)
      expect(await image.read(0, 10)).toEqual(new Uint8Array(10))
      for (let at = 0; at < expected.length; at += 300_000) await image.write(at, expected.subarray(at, at + 300_000))
      await image.flush()
      expect(difference(await image.read(0, image.size), expected)).toBe(-1)
    }
    check(name)
    expect(difference(disk(name), expected)).toBe(-1)
    await using again = await Qcow2.open(open(file(name)))
    expect(again.readOnly).toBe(true)
    expect(difference(await again.read(0, again.size), expected)).toBe(-1)
    await expect(again.write(0, expected.subarray(0, 1))).rejects.toMatchObject({ code: 'READ_ONLY' })
  })

  it('an image of QEMU is edited, and by QEMU again', async () => {
    const name = `edited-${_}.qcow2`.replaceAll(' ', '-')
    create(name, 8 * MiB, '-o', 'cluster_size=4k')
    qemuIo(file(name), 'write -P 1 0 1M', 'write -P 2 3M 64k')
    const expected = new Uint8Array(8 * MiB).fill(1, 0, MiB).fill(2, 3 * MiB, 3 * MiB + 64 * KiB)
    {
      await using image = await Qcow2.open(open(file(name)), { writable: true })
      const change = async (start: number, end: number, value: number) => {
        await image.write(start, new Uint8Array(end - start).fill(value))
        expected.fill(value, start, end)
      }
      await Promise.all([change(100, 5000, 3), change(MiB - 1, MiB + 1, 4), change(5 * MiB, 6 * MiB, 5)])
      await image.writeZeroes(200, 10_000)
      expected.fill(0, 200, 10_200)
      await image.discard(3 * MiB, 32 * KiB)
      expected.fill(0, 3 * MiB, 3 * MiB + 32 * KiB)
      expect(difference(await image.read(0, image.size), expected)).toBe(-1)
    }
    check(name)
    expect(difference(disk(name), expected)).toBe(-1)
    qemuIo(file(name), 'write -P 7 4k 100k')
    expected.fill(7, 4 * KiB, 104 * KiB)
    await using image = await Qcow2.open(open(file(name)))
    expect(difference(await image.read(0, image.size), expected)).toBe(-1)
  })
})

it('a write in place is made by the storage itself, and the image is used on after one that fails', async () => {
  const inner = memory()
  await (await Qcow2.create(inner, { size: MiB, preallocation: 'full' })).close()
  const sources: Uint8Array[] = []
  let full = false
  const storage: WritableStorage = {
    size: () => inner.size(),
    readSync: (offset, into) => inner.readSync(offset, into),
    writeSync(offset, bytes) {
      if (full) throw new DOMException('no room', 'QuotaExceededError')
      sources.push(bytes)
      inner.writeSync(offset, bytes)
    },
    truncateSync: (length) => inner.truncateSync(length),
    flushSync: () => inner.flushSync(),
  }
  const image = await Qcow2.open(storage, { writable: true })
  image.readSync(0, 512)
  const bytes = contents(200_000)
  for (const write of [() => image.writeSync(1000, bytes), () => image.write(1000, bytes)]) {
    sources.length = 0
    await write()
    expect(sources.length).toBe(1)
    expect(sources[0]).toBe(bytes)
  }
  image.flushSync()
  expect(difference(image.readSync(1000, bytes.length), bytes)).toBe(-1)
  full = true
  expect(() => image.writeSync(0, bytes)).toThrow(expect.objectContaining({ code: 'QUOTA' }))
  full = false
  image.writeSync(0, bytes)
  await image.close()
})

describe('what is created', () => {
  const shapes: [string, Omit<CreateOptions, 'size'>, Record<string, unknown>][] = [
    ['as by default', {}, { compat: '1.1', 'refcount-bits': 16, 'lazy-refcounts': false, 'extended-l2': false }],
    ['version 2', { version: 2 }, { compat: '0.10' }],
    ['small clusters', { clusterSize: 512 }, {}],
    ['large clusters', { clusterSize: 2 * MiB }, {}],
    ['refcounts of a bit', { refcountBits: 1 }, { 'refcount-bits': 1 }],
    ['refcounts of 64 bits', { refcountBits: 64 }, { 'refcount-bits': 64 }],
    ['lazy refcounts', { lazyRefcounts: true }, { 'lazy-refcounts': true }],
    ['extended L2 entries', { extendedL2: true }, { 'extended-l2': true }],
    ['zstd', { compression: 'zstd' }, { 'compression-type': 'zstd' }],
    ['preallocated tables', { preallocation: 'metadata' }, {}],
    ['preallocated data', { preallocation: 'full' }, {}],
    ['written through', { cache: 'writethrough' }, {}],
    ['tiny caches', { cacheSize: { tables: 0, clusters: 0 } }, {}],
  ]
  it.each(shapes)('%s', async (name, options, reported) => {
    const size = 5 * MiB + 512
    const expected = contents(size, 7)
    const storage = memory()
    {
      await using image = await Qcow2.create(storage, { size, ...options })
      const { clusterSize } = await image.info()
      expect(clusterSize).toBe(options.clusterSize ?? 64 * KiB)
      const half = Math.floor(size / 2 / clusterSize) * clusterSize
      await image.write(0, expected.subarray(0, half))
      await image.writeCompressed(half, expected.subarray(half))
      expect(difference(image.readSync(0, size), expected)).toBe(-1)
    }
    const path = `${name}.qcow2`.replaceAll(' ', '-')
    save(path, storage.bytes())
    check(path)
    expect(difference(disk(path), expected)).toBe(-1)
    const info = json<Record<string, never> & { 'format-specific': { data: object } }>('info', path)
    expect(info).toMatchObject({ 'virtual-size': size, 'cluster-size': options.clusterSize ?? 64 * KiB })
    expect(info['format-specific'].data).toMatchObject(reported)
  })
})
