import { openAsBlob } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { blob, draft, memory, nodeFile, Qcow2, type Storage, type WritableStorage } from '../../src/js/index.js'
import { contents, create, difference, disk, file, qemuImg, qemuIo, save } from './helpers/qemu.js'
import { Random } from './helpers/random.js'
import { readOnly } from './helpers/storages.js'

const { signal } = new AbortController()

async function write(storage: WritableStorage, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  if ('writeSync' in storage) storage.writeSync(offset, bytes)
  else await storage.write(offset, bytes, { signal })
}

async function truncate(storage: WritableStorage, size: number): Promise<void> {
  if ('truncateSync' in storage) storage.truncateSync(size)
  else await storage.truncate(size)
}

async function read(storage: Storage, offset: number, length: number): Promise<Uint8Array> {
  if (!('readSync' in storage)) return storage.read(offset, length, { signal })
  const bytes = new Uint8Array(length)
  storage.readSync(offset, bytes)
  return bytes
}

const bytes = async (from: BodyInit) => new Uint8Array(await new Response(from).arrayBuffer())

describe.each<[string, (original: Uint8Array<ArrayBuffer>) => Storage]>([
  ['a Blob', (original) => blob(new Blob([original]))],
  ['a Blob without read-ahead', (original) => blob(new Blob([original]), { readAhead: false })],
  ['memory', (original) => memory(original)],
  ['an asynchronous file', (original) => nodeFile(save('base', original))],
])('a draft over %s', (name, open) => {
  it.each([1, 2, 3])('is what a file would be after any changes (seed %i)', async (seed) => {
    const random = new Random(seed)
    const original = contents(200_000, seed)
    const storage = draft(open(original.slice()))
    await storage.open?.()
    let model = original.slice()
    const resize = (size: number) => {
      const resized = new Uint8Array(size)
      resized.set(model.subarray(0, size))
      model = resized
    }
    for (let step = 0; step < 300; step += 1) {
      const offset = random.below(250_000)
      const length = random.below(random.pick([10, 1000, 20_000, 70_000]))
      if (random.below(20) === 0) {
        await truncate(storage, offset)
        resize(offset)
      } else if (random.below(2) === 0) {
        const patch = new Uint8Array(length).fill(1 + random.below(255))
        await write(storage, offset, patch)
        if (offset + length > model.length) resize(offset + length)
        model.set(patch, offset)
      } else {
        const start = Math.min(offset, model.length)
        const end = Math.min(start + length, model.length)
        expect(difference(await read(storage, start, end - start), model.subarray(start, end))).toBe(-1)
      }
      expect(await storage.size()).toBe(model.length)
    }
    expect(storage.changed).toBeLessThanOrEqual(model.length)
    await storage.close?.()
    expect(difference(await bytes(storage.stream()), model)).toBe(-1)
    if (name.includes('Blob')) expect(difference(await bytes(await storage.blob()), model)).toBe(-1)
    else await expect(storage.blob()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('refuses what is past its end', async () => {
    const storage = draft(open(contents(1000)))
    await storage.open?.()
    await expect(read(storage, 990, 11)).rejects.toThrow(RangeError)
    await write(storage, 2000, Uint8Array.of(1))
    expect(await read(storage, 990, 1011)).toHaveLength(1011)
    await storage.close?.()
  })
})

it('an image is edited without its file being touched, and saved', async () => {
  create('original.qcow2', '4M', '-o', 'cluster_size=4k')
  qemuIo(file('original.qcow2'), 'write -P 1 0 2M')
  const before = disk('original.qcow2')
  const storage = draft(blob(await openAsBlob(file('original.qcow2'))))
  {
    await using image = await Qcow2.open(storage, { writable: true })
    await image.write(1_000_000, new Uint8Array(5000).fill(2))
    await image.discard(0, 65_536)
  }
  expect(storage.changed).toBeLessThan(100_000)
  expect(difference(disk('original.qcow2'), before)).toBe(-1)

  const expected = new Uint8Array(before).fill(0, 0, 65_536).fill(2, 1_000_000, 1_005_000)
  save('as-blob.qcow2', await bytes(await storage.blob()))
  save('as-stream.qcow2', await bytes(storage.stream()))
  for (const saved of ['as-blob.qcow2', 'as-stream.qcow2']) {
    qemuImg('check', '-q', saved)
    expect(difference(disk(saved), expected)).toBe(-1)
  }
  // The changes are there for the next one who opens it.
  await using again = await Qcow2.open(storage)
  expect(difference(await again.read(0, again.size), expected)).toBe(-1)
})

it('a stream that is cancelled releases the file', async () => {
  const events: string[] = []
  const base = {
    ...readOnly(contents(5_000_000)),
    open: () => void events.push('open'),
    close: () => void events.push('close'),
  }
  const storage = draft(base)
  await storage.stream().cancel()
  expect(events).toEqual([])
  const reader = storage.stream().getReader()
  expect((await reader.read()).value).toHaveLength(1024 * 1024)
  await reader.cancel()
  expect(events).toEqual(['open', 'close'])
})
