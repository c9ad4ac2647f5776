import { openAsBlob, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { blob, type Disk, Qcow2, raw } from '../../src/js/index.js'
import { convert, create, qemuIo } from './helpers/qemu.js'
import { bytesAt } from './helpers/storages.js'

const MiB = 1024 * 1024
const bytes = bytesAt(0, 12 * MiB)
const file = convert('runs.qcow2', bytes)

/** A Blob that counts how it is read. */
class CountedBlob extends Blob {
  streams = 0
  requests = 0

  override slice(start?: number, end?: number, type?: string): Blob {
    const part = super.slice(start, end, type)
    const [stream, arrayBuffer] = [part.stream.bind(part), part.arrayBuffer.bind(part)]
    return Object.assign(part, {
      stream: () => {
        this.streams += 1
        return stream()
      },
      arrayBuffer: () => {
        this.requests += 1
        return arrayBuffer()
      },
    })
  }
}

async function chunksOf(disk: Disk, options: Parameters<Disk['readable']>[0]): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const chunk of disk.readable(options)) chunks.push(chunk)
  return chunks
}

describe('a stream over a Blob', () => {
  it('reads contiguous clusters as one run, and makes chunks of the asked length', async () => {
    const counted = new CountedBlob([readFileSync(file)])
    const image = await Qcow2.open(blob(counted))
    const before = counted.requests
    const chunks = await chunksOf(image, { offset: 70_000, chunkSize: 1_000_000 })
    expect(new Set(chunks.slice(0, -1).map(({ length }) => length))).toEqual(new Set([1_000_000]))
    expect(Buffer.concat(chunks).equals(bytes.subarray(70_000))).toBe(true)
    expect(counted.streams).toBe(1)
    // The tables at most.
    expect(counted.requests - before).toBeLessThan(4)
    expect(await image.statistics()).toMatchObject({ reads: 13, bytesRead: bytes.length - 70_000 })
    await image.close()
  })

  it('reads around holes, zeros and compressed clusters', async () => {
    const path = create('holes.qcow2', 40 * MiB)
    qemuIo(
      path,
      'write -P 1 1M 5M',
      'write -c -P 2 6M 64k',
      'write -P 3 8M 10M',
      'write -z 10M 1M',
      'write -P 4 30M 1M',
    )
    const image = await Qcow2.open(blob(new Blob([readFileSync(path)])))
    const expected = await image.read(0, image.size)
    for (const chunkSize of [100_000, MiB, 64 * MiB]) {
      const found = Buffer.concat(await chunksOf(image, { chunkSize }))
      expect(found.equals(expected)).toBe(true)
    }
    await image.close()
  })

  it('reads a slice of a slice as one run', async () => {
    const counted = new CountedBlob([readFileSync(file)])
    await using image = await Qcow2.open(blob(counted))
    const slice = image.slice(MiB, 10 * MiB).slice(1000)
    const before = counted.requests
    const chunks = await chunksOf(slice, { offset: 24, length: 8 * MiB, chunkSize: 1_000_000 })
    expect(Buffer.concat(chunks).equals(bytes.subarray(MiB + 1024, 9 * MiB + 1024))).toBe(true)
    expect(counted.streams).toBe(1)
    // The tables at most.
    expect(counted.requests - before).toBeLessThan(4)
    await slice.close()
    await expect(slice.readable().getReader().read()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('reads a raw disk as one run', async () => {
    const counted = new CountedBlob([bytes])
    const disk = await raw(blob(counted))
    expect(
      Buffer.concat(await chunksOf(disk, { offset: 5, length: 9_000_000 })).equals(bytes.subarray(5, 9_000_005)),
    ).toBe(true)
    expect([counted.streams, counted.requests]).toEqual([1, 0])
    await disk.close()
  })

  it('ends with code CLOSED when the image is closed', async () => {
    const image = await Qcow2.open(blob(new Blob([readFileSync(file)])))
    const reader = image.readable({ chunkSize: 65_536 }).getReader()
    await reader.read()
    await image.close()
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('ends with the reason of a signal', async () => {
    const image = await Qcow2.open(blob(new Blob([readFileSync(file)])))
    const controller = new AbortController()
    const reader = image.readable({ chunkSize: 65_536, signal: controller.signal }).getReader()
    await reader.read()
    controller.abort(new Error('enough'))
    await expect(reader.read()).rejects.toThrow('enough')
    await image.close()
  })

  it('ends with code FILE_CHANGED when the file changes', async () => {
    const path = convert('changing.qcow2', bytes)
    const image = await Qcow2.open(blob(await openAsBlob(path)))
    const reader = image.readable({ chunkSize: 65_536 }).getReader()
    await reader.read()
    writeFileSync(path, 'another')
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'FILE_CHANGED' })
    await image.close()
  })

  it('reads without runs where Blobs have no byte streams', async () => {
    const plain = new Blob([readFileSync(file)])
    const slice = plain.slice.bind(plain)
    plain.slice = (...range) => Object.assign(slice(...range), { stream: () => new ReadableStream() })
    const image = await Qcow2.open(blob(plain))
    expect(Buffer.concat(await chunksOf(image, {})).equals(bytes)).toBe(true)
    await image.close()
  })
})
