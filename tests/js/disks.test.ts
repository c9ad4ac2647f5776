import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  blob,
  type Disk,
  isDisk,
  memory,
  nodeFile,
  openDisk,
  Qcow2,
  type Qcow2Error,
  raw,
  type Source,
  type WritableDisk,
} from '../../src/js/index.js'
import { contents, convert, create, difference, file, qemuImg, save } from './helpers/qemu.js'

const MiB = 2 ** 20
const size = 3 * MiB
const bytes = contents(size, 11)
const path = convert('disks.qcow2', bytes)
const image = readFileSync(path)

/** The error's code, or what the promise resolves with. */
const code = (promise: Promise<unknown>) => promise.catch((error: Qcow2Error) => error.code ?? error)

/** Every kind of disk that shows `bytes`, over storages of both kinds. */
const kinds: [string, () => Promise<Disk>][] = [
  ['an image', () => Qcow2.open(memory(image))],
  ['an image over a Blob', () => Qcow2.open(new Blob([image]))],
  ['a raw disk', () => raw(memory(bytes))],
  ['a raw disk over a Blob', () => raw(new Blob([bytes]))],
  ['a raw disk over a Blob without read-ahead', () => raw(blob(new Blob([bytes]), { readAhead: false }))],
  ['a raw file of Node', () => raw(nodeFile(save('disks.raw', bytes)))],
  ['a slice', async () => (await raw(Buffer.concat([Buffer.alloc(700, 1), bytes]))).slice(700)],
  ['a slice of a slice', async () => (await raw(Buffer.concat([Buffer.alloc(700, 1), bytes]))).slice(600).slice(100)],
  ['a snapshot', snapshotOfAll],
  ['a VM state', async () => (await snapshotOfAll()).vmState],
  ['an image within a disk', async () => Qcow2.open(await raw(image))],
  ['an image within an image', imageInImage],
]

async function snapshotOfAll() {
  const source = await Qcow2.create(memory(), { size })
  await source.write(0, bytes)
  const { id } = await source.snapshots.create('one', { vmState: bytes })
  await source.write(0, new Uint8Array(size))
  return source.snapshots.open(id)
}

async function imageInImage() {
  const outer = await Qcow2.create(memory(), { size: image.length })
  await outer.write(0, image)
  return Qcow2.open(outer)
}

describe.each(kinds)('%s', (_, open) => {
  it('is a disk that can be read in every way', async () => {
    const disk = await open()
    expect([isDisk(disk), disk.size, disk.closed]).toEqual([true, size, false])
    expect(difference(await disk.read(0, size), bytes)).toBe(-1)
    expect(difference(await disk.read(1_000_001n, 70_000n), bytes.subarray(1_000_001, 1_070_001))).toBe(-1)
    const into = new DataView(new ArrayBuffer(100), 10, 50)
    await disk.readInto(5000, into)
    expect(new Uint8Array(into.buffer, 10, 50)).toEqual(bytes.subarray(5000, 5050))
    expect(new Uint8Array(into.buffer, 0, 10)).toEqual(new Uint8Array(10))
    const chunks: Uint8Array[] = []
    for await (const chunk of disk.readable({ offset: 1000, length: 200_000, chunkSize: 30_000 })) chunks.push(chunk)
    expect(chunks.map(({ length }) => length)).toEqual([...Array(6).fill(30_000), 20_000])
    expect(difference(Buffer.concat(chunks), bytes.subarray(1000, 201_000))).toBe(-1)
    await disk.close()
    expect(await code(disk.read(0, 1))).toBe('CLOSED')
  })

  it('is read without waiting where it is synchronous', async () => {
    const disk = await open()
    if (disk.sync) {
      expect(disk.readSync(777, 10n)).toEqual(bytes.slice(777, 787))
      const into = new Uint16Array(4)
      disk.readIntoSync(778, into)
      expect(new Uint8Array(into.buffer)).toEqual(bytes.slice(778, 786))
    } else expect(() => disk.readSync(0, 1)).toThrow(expect.objectContaining({ code: 'NOT_SYNC' }))
    await disk.close()
  })

  it('has a map that covers it', async () => {
    const disk = await open()
    let end = 0
    for await (const { start, length } of disk.map()) {
      expect(start).toBe(end)
      end += length
    }
    expect(end).toBe(size)
    end = 1000
    for await (const { start, length } of disk.map({ offset: 1000, length: 5000n })) {
      expect(start).toBe(end)
      end += length
    }
    expect(end).toBe(6000)
    await disk.close()
  })

  it('has slices', async () => {
    const disk = await open()
    const slice = disk.slice(1001, 70_000)
    expect(difference(await slice.read(0, 70_000), bytes.subarray(1001, 71_001))).toBe(-1)
    expect(await code(slice.read(69_999, 2))).toBe('OUT_OF_BOUNDS')
    expect(() => disk.slice(1, size)).toThrow(expect.objectContaining({ code: 'OUT_OF_BOUNDS' }))
    await slice.close()
    expect([slice.closed, disk.closed, await code(disk.read(0, 0))]).toEqual([true, false, new Uint8Array()])
    await disk.close()
  })

  it('serves as a backing file, and stays open', async () => {
    const disk = await open()
    const over = await Qcow2.create(memory(), {
      size,
      backing: { name: 'below', format: 'raw', storage: disk },
    })
    expect(difference(await over.read(0, size), bytes)).toBe(-1)
    await over.close()
    expect(disk.closed).toBe(false)
    await disk.close()
  })
})

describe('a disk that can be written', () => {
  const targets: [string, () => Promise<WritableDisk>][] = [
    ['an image', () => Qcow2.create(memory(), { size: MiB })],
    ['a raw disk', () => raw(memory(new Uint8Array(MiB)), { writable: true })],
    ['a raw file', () => raw(nodeFile(save('target.raw', new Uint8Array(MiB))), { writable: true })],
  ]

  it.each(targets)('%s takes a stream, and any kind of bytes', async (_, open) => {
    const disk = await open()
    expect(disk.readOnly).toBe(false)
    const told: number[] = []
    const stream = disk.writable({ offset: 1000, length: 500_000, onProgress: ({ done }) => told.push(done) })
    await new Blob([bytes.subarray(0, 500_000)]).stream().pipeTo(stream)
    expect(told.at(-1)).toBe(500_000)
    expect(difference(await disk.read(1000, 500_000), bytes.subarray(0, 500_000))).toBe(-1)
    const words = Uint32Array.of(1, 2, 3)
    for (const from of [words, words.buffer, new DataView(words.buffer)]) {
      await disk.writeZeroes(600_000, 1000n)
      await disk.write(600_000n, from)
      expect(await disk.read(600_000, 12)).toEqual(new Uint8Array(words.buffer))
    }
    await disk.discard(700_000, 100)
    await disk.flush()
    const writer = disk.writable({ offset: MiB - 10 }).getWriter()
    await writer.write(new Uint8Array(6))
    expect(await code(writer.write(new Uint8Array(6)))).toBe('OUT_OF_BOUNDS')
    await disk.close()
  })

  it.each(targets)('%s is written without waiting where it is synchronous', async (_, open) => {
    const disk = await open()
    if (!disk.sync) {
      expect(() => disk.writeSync(0, bytes.subarray(0, 1))).toThrow(expect.objectContaining({ code: 'NOT_SYNC' }))
      return disk.close()
    }
    disk.writeSync(70_000, bytes.subarray(0, 200_000))
    disk.writeZeroesSync(100_000, 1000)
    disk.discardSync(0, 65_536)
    disk.flushSync()
    expect(difference(disk.readSync(70_000, 30_000), bytes.subarray(0, 30_000))).toBe(-1)
    expect(disk.readSync(100_000, 1000)).toEqual(new Uint8Array(1000))
    return disk.close()
  })

  it('refuses to be written where it was opened to be read', async () => {
    for (const open of [() => Qcow2.open(memory(image)), () => raw(memory(bytes))]) {
      const disk: WritableDisk = await open()
      expect(disk.readOnly).toBe(true)
      expect(await code(disk.write(0, bytes.subarray(0, 1)))).toBe('READ_ONLY')
      await disk.close()
    }
  })

  it('has its storage for itself, and leaves it when it is closed', async () => {
    const storage = memory(new Uint8Array(512))
    const disk = await raw(storage, { writable: true })
    expect(await code(raw(storage))).toBe('IN_USE')
    await disk.close()
    await (await raw(storage)).close()
  })
})

describe('what is opened', () => {
  it.each<[string, Source]>([
    ['a storage', memory(image)],
    ['a Blob', new Blob([image])],
    ['an ArrayBuffer', new Uint8Array(image).buffer],
    ['a Buffer', image],
    ['a DataView', new DataView(image.buffer, image.byteOffset, image.byteLength)],
  ])('may be %s', async (_, source) => {
    await using opened = await Qcow2.open(source)
    expect(difference(await opened.read(0, size), bytes)).toBe(-1)
  })

  it('is no address, nor anything else', async () => {
    for (const wrong of ['https://example.org/disk.qcow2', new URL('https://example.org/'), 5, null, {}]) {
      expect(await code(Qcow2.open(wrong as never))).toBe('INVALID_ARGUMENT')
    }
  })

  it('may be a chain of them', async () => {
    create('over.qcow2', size, '-b', 'disks.qcow2', '-F', 'qcow2')
    const top = readFileSync(file('over.qcow2'))
    for (const backing of [
      image,
      [new Blob([image])],
      () => image.buffer.slice(image.byteOffset, image.byteOffset + image.length) as ArrayBuffer,
      { storage: image, format: 'qcow2' as const },
    ]) {
      await using opened = await Qcow2.open(top, { backing })
      expect(difference(await opened.read(0, size), bytes)).toBe(-1)
    }
  })

  it('openDisk opens an image by its first bytes, and a raw disk where that is asked for', async () => {
    await using one = await openDisk(image)
    expect(one.size).toBe(size)
    await using other = await openDisk(image, { format: 'raw' })
    expect(difference(await other.read(0, other.size), image)).toBe(-1)
    expect(await code(openDisk(bytes))).toBe('NOT_QCOW2')
    qemuImg('create', '-q', '-f', 'vhdx', file('other.vhdx'), '1M')
    const refused = await openDisk(nodeFile(file('other.vhdx'))).catch((error: Qcow2Error) => error)
    expect(refused).toMatchObject({ code: 'NOT_QCOW2', reason: expect.stringMatching(/VHDX/) })
  })

  it('has its data file when it needs one', async () => {
    const [top, data] = [memory(), memory()]
    const made = await Qcow2.create(top, { size: MiB, dataFile: { storage: data, name: 'data.raw' } })
    await made.write(5, Uint8Array.of(1, 2, 3))
    await made.close()
    const asked: (string | undefined)[] = []
    const ask = ({ name }: { name: string | undefined }) => {
      asked.push(name)
      return data
    }
    for (const dataFile of [data, ask, async () => data.bytes()]) {
      await using opened = await Qcow2.open(top, { dataFile })
      expect(await opened.read(5, 3)).toEqual(Uint8Array.of(1, 2, 3))
    }
    expect(asked).toEqual(['data.raw'])
    expect(await code(Qcow2.open(top, { dataFile: () => undefined }))).toBe('MISSING_DATA_FILE')
    // One that is not needed is no error, and nothing is asked of it.
    await using plain = await Qcow2.open(image, {
      dataFile: { size: () => expect.unreachable(), read: () => expect.unreachable() },
    })
    expect(plain.size).toBe(size)
  })
})

describe('an open image', () => {
  it('notifies its listeners of what happens to it', async () => {
    const opened = await Qcow2.create(memory(), { size: MiB })
    const told: unknown[] = []
    opened.addEventListener('change', ({ offset, length }) => told.push([offset, length]))
    opened.addEventListener('error', ({ error }) => told.push((error as Qcow2Error).code))
    opened.addEventListener('close', () => told.push('closed'))
    await opened.write(5, Uint8Array.of(1))
    opened.writeSync(7, Uint8Array.of(1, 2))
    await opened.writeZeroes(0, 1000)
    await opened.discard(65_536, 65_536)
    await opened.snapshots.create('one')
    await opened.snapshots.apply('one')
    await code(opened.writeCompressed(5, Uint8Array.of(1)))
    await opened.close()
    expect(told).toEqual([[5, 1], [7, 2], [0, 1000], [65_536, 65_536], [0, MiB], 'UNALIGNED', 'closed'])
  })

  it('counts what is asked of it, and of its storage', async () => {
    const asked: number[] = []
    const storage = {
      size: () => image.length,
      async read(offset: number, length: number) {
        asked.push(length)
        return new Uint8Array(image.subarray(offset, offset + length))
      },
    }
    await using opened = await Qcow2.open(storage)
    await opened.read(0, 100)
    await opened.read(0, 200)
    const { reads, bytesRead, writes, storage: below } = await opened.statistics()
    expect({ reads, bytesRead, writes }).toEqual({ reads: 2, bytesRead: 300, writes: 0 })
    expect([below.reads, below.bytesRead]).toEqual([asked.length, asked.reduce((sum, each) => sum + each)])
    await using empty = await Qcow2.create(memory(), { size: MiB })
    await empty.write(0, bytes.subarray(0, 5000))
    await empty.flush()
    const before = await empty.statistics()
    expect([before.writes, before.bytesWritten, before.storage.flushes > 0]).toEqual([1, 5000, true])
    await empty.read(500_000, 100)
    expect((await empty.statistics()).cacheHits).toBe(1)
  })
})
