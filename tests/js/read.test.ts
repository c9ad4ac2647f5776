import { openAsBlob, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { blob, memory, nodeFile, Qcow2, readAhead, type Storage } from '../../src/js/index.js'
import { contents, convert, create, disk, qemuIo } from './helpers/qemu.js'
import { Random } from './helpers/random.js'
import { CountedStorage } from './helpers/storages.js'

const size = 3 * 1024 * 1024 + 512 * 7

/** One image of each kind that takes another way through the engine. */
const images: Record<string, string> = {
  plain: convert('plain.qcow2', contents(size)),
  version2: convert('version2.qcow2', contents(size, 2), '-o', 'compat=0.10'),
  small: convert('small.qcow2', contents(size, 3), '-o', 'cluster_size=512'),
  large: convert('large.qcow2', contents(size, 4), '-o', 'cluster_size=2M'),
  deflate: convert('deflate.qcow2', contents(size, 5), '-c'),
  zstd: convert('zstd.qcow2', contents(size, 6), '-c', '-o', 'compression_type=zstd'),
  subclusters: convert('subclusters.qcow2', contents(size, 7), '-o', 'extended_l2=on'),
}

/** Every storage that there is in Node. */
const storages: Record<string, (path: string) => Storage | Promise<Storage>> = {
  memory: (path) => memory(readFileSync(path)),
  'an ArrayBuffer': (path) => memory(new Uint8Array(readFileSync(path)).buffer),
  nodeFile: (path) => nodeFile(path),
  'nodeFile, sync': (path) => nodeFile(path, { sync: true }),
  blob: async (path) => blob(await openAsBlob(path)),
  'blob without read-ahead': async (path) => blob(await openAsBlob(path), { readAhead: false }),
  'an asynchronous object': (path) => new CountedStorage(readFileSync(path)),
  'a synchronous object': (path) => new CountedStorage(readFileSync(path)).sync(),
  'read-ahead over a synchronous object': (path) => readAhead(new CountedStorage(readFileSync(path)).sync()),
}

/** Compares a thousand pieces without printing megabytes. */
function same(actual: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(actual, expected)).toBe(0)
}

describe.each(Object.entries(images))('an image: %s', (_, path) => {
  const expected = disk(path)

  it.each(Object.entries(storages))('over %s reads as QEMU does', async (_, storage) => {
    await using image = await Qcow2.open(await storage(path))
    expect(image.size).toBe(size)
    same(await image.read(0, size), expected)
    const random = new Random(11)
    for (let count = 0; count < 60; count += 1) {
      const offset = random.below(size)
      const length = Math.min(random.below(random.pick([10, 5000, 300_000])), size - offset)
      same(await image.read(offset, length), expected.subarray(offset, offset + length))
      if (image.sync) same(image.readSync(offset, length), expected.subarray(offset, offset + length))
    }
  })

  it('reads many parts together', async () => {
    await using image = await Qcow2.open(new CountedStorage(readFileSync(path)))
    const random = new Random(12)
    const ranges = Array.from({ length: 50 }, () => {
      const offset = random.below(size)
      return { offset, length: Math.min(random.below(200_000), size - offset) }
    })
    const reads = await Promise.all(ranges.map(({ offset, length }) => image.read(offset, length)))
    reads.forEach((bytes, index) => {
      const { offset, length } = ranges[index] ?? { offset: 0, length: 0 }
      same(bytes, expected.subarray(offset, offset + length))
    })
  })
})

/** The bytes of any kind of memory. */
function bytesOf(memory: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(memory)
    ? new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
    : new Uint8Array(memory)
}

describe('a read', () => {
  const path = images.plain ?? ''
  const expected = disk('plain.qcow2')

  it('fills the array that it is given', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    const into = new Uint8Array(1000)
    await image.readInto(5000, into)
    same(into, expected.subarray(5000, 6000))
    const part = into.subarray(10, 20)
    image.readIntoSync(7000, part)
    same(into.subarray(10, 20), expected.subarray(7000, 7010))
    same(into.subarray(20), expected.subarray(5020, 6000))
  })

  it('fills any kind of memory', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    const buffer = new ArrayBuffer(24)
    const targets = [Buffer.alloc(16), new ArrayBuffer(16), new DataView(buffer, 8), new Uint32Array(buffer, 8, 4)]
    for (const into of targets) {
      await image.readInto(0, into)
      same(bytesOf(into), expected.subarray(0, 16))
      image.readIntoSync(512, into)
      same(bytesOf(into), expected.subarray(512, 528))
    }
    expect(new Uint8Array(buffer, 0, 8)).toEqual(new Uint8Array(8))
    await expect(image.readInto(0, [] as unknown as ArrayBuffer)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('of no bytes reads nothing, also at the end', async () => {
    const counted = new CountedStorage(readFileSync(path))
    await using image = await Qcow2.open(counted)
    const { requests } = counted
    expect(await image.read(size, 0)).toHaveLength(0)
    expect(counted.requests).toBe(requests)
  })

  it('takes bigints', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    same(await image.read(5000n, 10), expected.subarray(5000, 5010))
    same(await image.read(0, 4096n), expected.subarray(0, 4096))
    same(image.readSync(5000n, 10n), expected.subarray(5000, 5010))
  })

  it('into memory that is shared works', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    const into = new Uint8Array(new SharedArrayBuffer(100))
    await image.readInto(100, into)
    same(into, expected.subarray(100, 200))
  })

  it('is made by the storage itself, once the tables are in memory', async () => {
    const file = new CountedStorage(readFileSync(path)).sync()
    const targets: Uint8Array[] = []
    const failure = new Error('the disk is gone')
    let gone = false
    const readSync = (offset: number, into: Uint8Array) => {
      if (gone) throw failure
      targets.push(into)
      file.readSync(offset, into)
    }
    await using image = await Qcow2.open({ size: () => file.size(), readSync })
    image.readSync(0, 512)
    const into = new Uint8Array(200_000)
    for (const read of [() => image.readIntoSync(60_000, into), () => image.readInto(60_000, into)]) {
      targets.length = 0
      into.fill(0)
      await read()
      expect(targets.length).toBe(1)
      expect(targets[0]).toBe(into)
      same(into, expected.subarray(60_000, 260_000))
    }
    gone = true
    expect(() => image.readIntoSync(60_000, into)).toThrow(expect.objectContaining({ code: 'STORAGE', cause: failure }))
    gone = false
    await image.close()
    expect(() => image.readIntoSync(60_000, into)).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })

  it('reaches the far end of the largest disk', async () => {
    const largest = create('largest.qcow2', '2E', '-o', 'cluster_size=2M')
    qemuIo(largest, `write -P 7 ${2n ** 61n - 512n} 512`)
    await using image = await Qcow2.open(nodeFile(largest, { sync: true }))
    expect(image.size).toBe(2 ** 61)
    expect(await image.read(2n ** 61n - 512n, 512)).toEqual(new Uint8Array(512).fill(7))
    expect(image.readSync(2n ** 61n - 1n, 1)).toEqual(Uint8Array.of(7))
    const reader = image.readable({ offset: 2n ** 61n - 1000n, chunkSize: 600 }).getReader()
    expect((await reader.read()).value?.at(-1)).toBe(7)
    expect((await reader.read()).value).toEqual(new Uint8Array(400).fill(7))
    expect((await reader.read()).done).toBe(true)
    const location = await image.locate(2n ** 61n - 1n)
    expect(location.kind).toBe('data')
    await expect(image.read(2n ** 61n - 1n, 2)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
  })

  it('larger than what WebAssembly takes at a time arrives whole', async () => {
    const bytes = contents(20 * 1024 * 1024, 9)
    const image = await Qcow2.open(nodeFile(convert('long.qcow2', bytes)))
    same(await image.read(0, bytes.length), bytes)
    same(await image.read(1, bytes.length - 3), bytes.subarray(1, -2))
    await image.close()
  })
})

describe('requests of the storage', () => {
  it('are few for contiguous clusters', async () => {
    const bytes = new Uint8Array(4 * 1024 * 1024).fill(3)
    const counted = new CountedStorage(readFileSync(convert('contiguous.qcow2', bytes)))
    await using image = await Qcow2.open(counted)
    const opened = counted.requests
    same(await image.read(0, bytes.length), bytes)
    expect(opened).toBeLessThanOrEqual(2)
    // The L1 table, the L2 table, the data.
    expect(counted.requests - opened).toBeLessThanOrEqual(4)
  })

  it('are few for opening a disk of 1 TiB', async () => {
    const counted = new CountedStorage(readFileSync(create('huge.qcow2', '1T')))
    await using image = await Qcow2.open(counted)
    await image.info()
    await image.read(2 ** 39, 4096)
    expect(counted.requests).toBeLessThanOrEqual(10)
  })
})
