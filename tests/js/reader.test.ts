import { readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { convert as convertDisk, memory, type Qcow2ErrorCode, Qcow2 as Whole } from '../../src/js/index.js'
import { http, Qcow2 } from '../../src/js/read.js'
import { contents, convert, create, file as fileOf, qemuImg } from './helpers/qemu.js'
import { createEncrypted, luks } from './helpers/secret.js'
import { CountedStorage } from './helpers/storages.js'

const MiB = 1024 * 1024
const bytes = contents(3 * MiB, 5)

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe.each([
  ['zlib', ['-c']],
  ['zstd', ['-c', '-o', 'compression_type=zstd']],
  ['extended L2 entries', ['-o', 'extended_l2=on']],
  ['512-byte clusters', ['-o', 'cluster_size=512']],
])('an image with %s', (name, options) => {
  const path = convert(`reader-${name.replaceAll(' ', '-')}.qcow2`, bytes, ...options)

  it('reads as qemu-img wrote it', async () => {
    await using image = await Qcow2.open(new Blob([readFileSync(path)]))
    expect(Buffer.compare(await image.read(0, bytes.length), bytes)).toBe(0)
    expect(image.readOnly).toBe(true)
  })

  it('has the map and the information of the whole package', async () => {
    const file = readFileSync(path)
    await using image = await Qcow2.open(file)
    await using whole = await Whole.open(memory(file), { writable: true })
    expect(await all(image.map())).toEqual(await all(whole.map()))
    expect(await image.info()).toEqual(await whole.info())
    expect(await image.locate(MiB)).toEqual(await whole.locate(MiB))
  })
})

it('reads a backing chain that the caller supplies', async () => {
  const base = convert('reader-base.qcow2', bytes)
  const overlay = create('reader-overlay.qcow2', bytes.length, '-F', 'qcow2', '-b', base)
  const backing = vi.fn(() => readFileSync(base))
  await using image = await Qcow2.open(readFileSync(overlay), { backing })
  expect(Buffer.compare(await image.read(0, bytes.length), bytes)).toBe(0)
  expect(backing).toHaveBeenCalledOnce()
  await expect(Qcow2.open(readFileSync(overlay))).rejects.toMatchObject({ code: 'MISSING_BACKING_FILE' })
})

it('opens snapshots', async () => {
  const path = convert('reader-snapshots.qcow2', bytes)
  qemuImg('snapshot', '-c', 'first', path)
  await using image = await Qcow2.open(readFileSync(path))
  expect(image.snapshots.list().map(({ name }) => name)).toEqual(['first'])
  await using snapshot = await image.snapshots.open('first')
  expect(Buffer.compare(await snapshot.read(0, bytes.length), bytes)).toBe(0)
})

it('is a disk for the whole package', async () => {
  await using image = await Qcow2.open(readFileSync(convert('reader-source.qcow2', bytes)))
  const target = memory()
  await convertDisk(image, target)
  await using copy = await Whole.open(target)
  expect(Buffer.compare(await copy.read(0, bytes.length), bytes)).toBe(0)
})

it('closes the storage with the image, and when opening fails', async () => {
  const storage = new CountedStorage(readFileSync(convert('reader-closed.qcow2', bytes)))
  await (await Qcow2.open(storage)).close()
  expect(storage.closed).toBe(1)
  const broken = new CountedStorage(new Uint8Array(1024))
  await expect(Qcow2.open(broken)).rejects.toMatchObject({ code: 'NOT_QCOW2' })
  expect(broken.closed).toBe(1)
})

describe('what the reader lacks', () => {
  const lacking: Qcow2ErrorCode = 'NOT_IN_READER'
  const file = readFileSync(convert('reader-lacks.qcow2', bytes))

  /** The methods of a class and of those above it. */
  const methods = (prototype: object | null): string[] => {
    if (prototype === null || prototype === Object.prototype) return []
    const own = Object.entries(Object.getOwnPropertyDescriptors(prototype))
    const names = own.filter(([, { value }]) => typeof value === 'function').map(([name]) => name)
    return [...names, ...methods(Object.getPrototypeOf(prototype))]
  }

  it('is an error that names the whole package, for every method', async () => {
    await using image = await Qcow2.open(file)
    await using whole = await Whole.open(memory(file))
    const missing = (has: object, all: object) =>
      methods(all).filter((name) => !(name in has) && name !== 'writePacked')
    expect(missing(image, whole)).toEqual([])
    expect(missing(image.snapshots, whole.snapshots)).toEqual([])

    const call = (target: object, name: string) => () => (target as Record<string, () => unknown>)[name]?.()
    const error = expect.objectContaining({ code: lacking, reason: expect.stringContaining("from 'qcow2-web'") })
    for (const name of ['write', 'writeSync', 'writable', 'flush', 'resize', 'check', 'diff', 'copyUp']) {
      expect(call(image, name)).toThrow(error)
    }
    for (const name of ['create', 'apply', 'delete', 'rename']) expect(call(image.snapshots, name)).toThrow(error)
    expect(call(Qcow2, 'create')).toThrow(error)
    for (const name of ['bitmaps', 'keySlots']) expect(() => Reflect.get(image, name)).toThrow(error)
  })

  it.each([{ writable: true }, { worker: true }, { passphrase: 'secret' }, { cache: 'writethrough' }])(
    'is an error for the option %j',
    async (options) => {
      await expect(Qcow2.open(file, options as object)).rejects.toMatchObject({ code: lacking })
    },
  )

  it('is an error for the options of http() that it lacks', () => {
    for (const options of [{ sync: true }, { persistentCache: MiB }]) {
      const open = () => http('https://example.org/disk.qcow2', options as object)
      expect(open).toThrow(expect.objectContaining({ code: lacking }))
    }
  })

  it('is not in its types', () => {
    const types = (image: Qcow2) => {
      // @ts-expect-error: it only reads
      void image.write
      // @ts-expect-error: it only reads
      void image.snapshots.create
      // @ts-expect-error: it only reads
      void Qcow2.create
      // @ts-expect-error: it only reads
      void Qcow2.open(file, { writable: true })
    }
    expect(types).toBeTypeOf('function')
  })

  it('is an error for an encrypted image, and for one in the chain', async () => {
    const base = createEncrypted('reader-encrypted.qcow2', luks)
    const storage = new CountedStorage(readFileSync(base))
    await expect(Qcow2.open(storage)).rejects.toMatchObject({ code: lacking })
    expect(storage.closed).toBe(1)
    qemuImg('create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', base, 'reader-over-encrypted.qcow2', '1M')
    const overlay = readFileSync(fileOf('reader-over-encrypted.qcow2'))
    await expect(Qcow2.open(overlay, { backing: readFileSync(base) })).rejects.toMatchObject({ code: lacking })
  })
})
