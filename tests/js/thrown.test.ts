import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type AsyncStorage, isQcow2Error, memory, Qcow2, type SyncStorage } from '../../src/js/index.js'
import { fromThrown, toThrown } from '../../src/js/worker/rpc/thrown.js'
import { contents, convert, create } from './helpers/qemu.js'
import { readOnly } from './helpers/storages.js'

const MiB = 1024 * 1024
const path = convert('image.qcow2', contents(MiB, 41))
const raw = readFileSync(path)
const over = readFileSync(create('over.qcow2', MiB, '-b', path, '-F', 'qcow2'))

/** Storages of both kinds that throw `thrown` where something from `from` on is read. */
function failing(thrown: unknown, from: number): [string, AsyncStorage | SyncStorage][] {
  const check = (offset: number) => {
    if (offset >= from) throw thrown
  }
  const read = async (offset: number, length: number) => {
    check(offset)
    return raw.subarray(offset, offset + length)
  }
  const readSync = (offset: number, into: Uint8Array) => {
    check(offset)
    into.set(raw.subarray(offset, offset + into.length))
  }
  return [
    ['asynchronous', { size: () => raw.length, read }],
    ['synchronous', { size: () => raw.length, readSync }],
  ]
}

/** Throws whatever is asked of it. */
const spiteful = () => {
  const refuse = () => {
    throw new Error('do not look')
  }
  return new Proxy(new Error('a proxy'), { get: refuse, getPrototypeOf: refuse, has: refuse, ownKeys: refuse })
}

/** An error whose message is not to be had. */
const speechless = () =>
  Object.defineProperty(new Error('gone'), 'message', {
    get() {
      throw new Error('do not look')
    },
  })

const withoutWords = 'The storage failed: it threw something that is not an error.'

describe.each<[string, unknown, string]>([
  ['an error', new Error('on fire'), 'The storage failed: on fire.'],
  ['a text', 'on fire', 'The storage failed: on fire.'],
  ['nothing', undefined, withoutWords],
  ['what throws itself', spiteful(), withoutWords],
  ['an error without words', speechless(), withoutWords],
  ['an object without any', Object.create(null), withoutWords],
])('a storage that throws %s', (_, thrown, reason) => {
  it.each(failing(thrown, 0))('fails the opening, and is heard: %s', async (_, storage) => {
    const error = await Qcow2.open(storage).catch((caught) => caught)
    if (!isQcow2Error(error)) return expect.unreachable()
    expect([error.code, error.reason, error.offset]).toEqual(['STORAGE', reason, 0])
    expect(Object.is(error.cause, thrown)).toBe(true)
  })

  it('fails where it is opened, too', async () => {
    const error = await Qcow2.open({ ...readOnly(raw), open: () => Promise.reject(thrown) }).catch((caught) => caught)
    expect(isQcow2Error(error) && error.code).toBe('STORAGE')
  })

  it('is heard across a worker', () => {
    const error = fromThrown(structuredClone(toThrown(thrown)))
    const words = error instanceof Error ? error.message : error
    expect([undefined, {}, 'on fire', 'it threw something that is not an error']).toContainEqual(words)
  })
})

it.each(failing(new Error('on fire'), 300_000))(
  'a read that fails reports where in the file: %s',
  async (_, storage) => {
    await using image = await Qcow2.open(storage)
    const { dataOffset } = await place(image, 900_000)
    await expect(image.read(900_000, 10)).rejects.toMatchObject({ code: 'STORAGE', offset: dataOffset })
  },
)

it('a read of a backing file that fails reports in which, and where', async () => {
  const [[, backing]] = failing(new Error('on fire'), 300_000) as [[string, AsyncStorage]]
  await using image = await Qcow2.open(memory(over), { backing })
  const error = await image.read(900_000, 10).catch((caught) => caught)
  expect(error).toMatchObject({ code: 'STORAGE', depth: 1, offset: expect.any(Number) })
  expect(error.offset).toBeGreaterThanOrEqual(300_000)
  expect(error.reason).toBe('In the backing file at depth 1: the storage failed: on fire.')
})

it('a write that fails reports where in the file', async () => {
  const file = memory()
  const storage = { ...file, size: () => file.size(), readSync: file.readSync.bind(file) }
  let from = Number.POSITIVE_INFINITY
  const writable = {
    ...storage,
    writeSync(offset: number, bytes: Uint8Array) {
      if (offset >= from) throw new Error('on fire')
      file.writeSync(offset, bytes)
    },
    truncateSync: file.truncateSync.bind(file),
    flushSync: file.flushSync.bind(file),
  }
  const image = await Qcow2.create(writable, { size: MiB })
  const end = file.size()
  from = end
  // The L2 table comes first.
  const offset = end + 65_536
  await expect(image.write(0, new Uint8Array(65_536))).rejects.toMatchObject({ code: 'STORAGE', offset })
  await image.close().catch(() => {})
})

/** Where in the file the byte at an offset of the disk is. */
async function place(image: Qcow2, at: number): Promise<{ dataOffset: number }> {
  for await (const { start, length, offset } of image.map()) {
    if (offset !== undefined && start <= at && at < start + length) return { dataOffset: offset + at - start }
  }
  throw new Error('nothing is there')
}
