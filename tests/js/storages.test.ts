import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  type AsyncStorage,
  blob,
  memory,
  nodeFile,
  prefetched,
  Qcow2,
  Qcow2Error,
  readAhead,
  recorded,
  type SyncStorage,
} from '../../src/js/index.js'
import { contents, convert, file } from './helpers/qemu.js'

const MiB = 1024 * 1024
const bytes = contents(3 * MiB, 31)
const path = convert('storages.qcow2', bytes)
const raw = readFileSync(path)

describe('a storage that', () => {
  const failing = (read: AsyncStorage['read']): AsyncStorage => ({ size: () => raw.length, read })
  const failingSync = (readSync: SyncStorage['readSync']): SyncStorage => ({ size: () => raw.length, readSync })
  const thrown = new RangeError('the disk is on fire')

  it.each<[string, AsyncStorage | SyncStorage]>([
    ['rejects', failing(() => Promise.reject(thrown))],
    [
      'throws',
      failing(() => {
        throw thrown
      }),
    ],
    [
      'throws synchronously',
      failingSync(() => {
        throw thrown
      }),
    ],
    [
      'has no size',
      {
        size: () => {
          throw thrown
        },
        read: () => Promise.reject(thrown),
      },
    ],
    ['does not open', { open: () => Promise.reject(thrown), size: () => 0, read: () => Promise.reject(thrown) }],
  ])('%s is heard', async (name, storage) => {
    const error = await Qcow2.open(storage).catch((caught) => caught)
    expect(error).toBeInstanceOf(Qcow2Error)
    expect(error.code).toBe('STORAGE')
    expect(error.cause).toBe(thrown)
    expect(error.message).toContain('the disk is on fire')
    expect(name).not.toBe('')
  })

  it('speaks in our errors is heard as it is', async () => {
    const error = new Qcow2Error('FILE_CHANGED', 'It is another file now.')
    expect(await Qcow2.open(failing(() => Promise.reject(error))).catch((caught) => caught)).toBe(error)
  })

  it.each<[string, unknown]>([
    ['too few bytes', new Uint8Array(3)],
    ['too many bytes', new Uint8Array(10_000_000)],
    ['an ArrayBuffer', new ArrayBuffer(10)],
    ['nothing', undefined],
    ['a string', 'QFI'],
  ])('answers %s breaks the contract', async (_, answer) => {
    await expect(Qcow2.open(failing(async () => answer as Uint8Array))).rejects.toMatchObject({
      code: 'STORAGE_CONTRACT',
    })
  })

  it.each<[unknown]>([[-1], [1.5], [Number.NaN], ['12'], [2 ** 60], [undefined]])(
    'has %s bytes breaks the contract',
    async (size) => {
      for (const wrap of [(value: number) => value, (value: number) => Promise.resolve(value)]) {
        const storage: AsyncStorage = { size: () => wrap(size as number), read: () => Promise.reject(thrown) }
        await expect(Qcow2.open(storage)).rejects.toMatchObject({ code: 'STORAGE_CONTRACT' })
      }
    },
  )

  it('throws things that are no errors is heard too', async () => {
    for (const cause of ['a string', undefined, null, 5, { some: 'object' }, Symbol('symbol')]) {
      const error = await Qcow2.open(failing(() => Promise.reject(cause))).catch((caught) => caught)
      expect(error.code).toBe('STORAGE')
      expect(error.cause).toBe(cause)
    }
  })

  it('fails once does no harm to the image', async () => {
    let broken = false
    const storage = failing(async (offset, length) => {
      if (broken) throw thrown
      return raw.subarray(offset, offset + length)
    })
    await using image = await Qcow2.open(storage)
    broken = true
    await expect(image.read(0, MiB)).rejects.toMatchObject({ code: 'STORAGE' })
    broken = false
    expect(Buffer.compare(await image.read(0, bytes.length), bytes)).toBe(0)
  })

  it('needs a worker is refused elsewhere', () => {
    expect(() => blob(new Blob(), { sync: true })).toThrow(/INVALID_ARGUMENT/)
    expect(() => blob('a name' as unknown as Blob)).toThrow(/INVALID_ARGUMENT/)
    expect(() => memory([1, 2] as unknown as Uint8Array)).toThrow(/INVALID_ARGUMENT/)
    expect(() => nodeFile(5 as unknown as string)).toThrow(/INVALID_ARGUMENT/)
  })

  it('is no storage is refused', async () => {
    for (const value of [undefined, null, 5, 'disk.qcow2', {}, { size: () => 1 }]) {
      await expect(Qcow2.open(value as AsyncStorage)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })

  it('is no storage, or one that needs no fetching, is refused by what is put over it', () => {
    for (const value of [undefined, 5, {}]) {
      for (const over of [readAhead, recorded, (storage: AsyncStorage) => prefetched(storage, [])]) {
        expect(() => over(value as unknown as AsyncStorage)).toThrow(/INVALID_ARGUMENT/)
      }
    }
    const sync = memory(raw) as unknown as AsyncStorage
    expect(() => recorded(sync)).toThrow(/INVALID_ARGUMENT/)
    expect(() => prefetched(sync, [])).toThrow(/INVALID_ARGUMENT/)
  })

  it('takes no worker where there are none', async () => {
    for (const worker of [true, {} as Worker]) {
      const opening = Qcow2.open(memory(new Uint8Array()), { worker })
      await expect(opening).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })

  it('reports a missing file', async () => {
    const error = await Qcow2.open(nodeFile(file('nothing-here.qcow2'))).catch((caught) => caught)
    expect(error).toMatchObject({ code: 'STORAGE', cause: { code: 'ENOENT' } })
  })

  it('reports a file that became shorter', async () => {
    const { copyFileSync, truncateSync } = await import('node:fs')
    copyFileSync(path, file('shorter.qcow2'))
    for (const sync of [false, true]) {
      const storage = sync ? nodeFile(file('shorter.qcow2'), { sync }) : nodeFile(file('shorter.qcow2'))
      copyFileSync(path, file('shorter.qcow2'))
      await using image = await Qcow2.open(storage)
      truncateSync(file('shorter.qcow2'), 100_000)
      await expect(image.read(0, bytes.length)).rejects.toMatchObject({ code: 'FILE_CHANGED' })
    }
  })
})
