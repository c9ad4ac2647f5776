import { afterAll, beforeAll, expect, it } from 'vitest'
import { check, disk, json } from '../js/helpers/qemu.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()
const size = 4 * 1024 * 1024

beforeAll(() => lab.start())
afterAll(() => lab.stop())

type Kind = 'opfs' | 'idb'

/** Makes an image with a snapshot; whether it is sound. */
const make: Work<[Kind, string, number], string> = async ({ idb, opfs, Qcow2 }, kind, name, size) => {
  const storage = kind === 'opfs' ? opfs(name, { create: true }) : idb(name)
  const image = await Qcow2.create(storage, { size })
  await image.write(1000, new Uint8Array(100_000).fill(1))
  await image.flush()
  await image.snapshots.create('one')
  await image.write(50_000, new Uint8Array(100_000).fill(2))
  const { verdict } = await image.check()
  await image.close()
  return verdict
}

/** What it is later, when its bytes are put to the server, too. */
const look: Work<[Kind, string], unknown> = async ({ idb, opfs, Qcow2 }, kind, name) => {
  const storage = kind === 'opfs' ? opfs(name) : idb(name)
  const image = await Qcow2.open(storage)
  const { verdict } = await image.check()
  const bytes = [999, 1000, 49_999, 50_000, 149_999, 150_000].map(async (at) => (await image.read(at, 1))[0])
  const view = await image.snapshots.open('one')
  const before = [50_000, 101_000].map(async (at) => (await view.read(at, 1))[0])
  const seen = { verdict, bytes: await Promise.all(bytes), before: await Promise.all(before) }
  await view.close()
  await image.close()
  await storage.open?.()
  const whole = new Uint8Array(await storage.size())
  if ('readSync' in storage) storage.readSync(0, whole)
  else whole.set(await storage.read(0, whole.length, new AbortController()))
  await storage.close?.()
  await fetch(`/${name}`, { method: 'PUT', body: whole })
  return seen
}

it.each([
  ['opfs', 'page'],
  ['opfs', 'worker'],
  ['idb', 'page'],
] as const)('an image of %s() on a %s is there when the browser is started again', async (kind, where) => {
  const run = where === 'page' ? lab.onPage.bind(lab) : lab.inWorker.bind(lab)
  const name = `${kind}-${where}`
  expect(await run(make, kind, name, size)).toBe('clean')
  await lab.restart()
  expect(await run(look, kind, name)).toEqual({ verdict: 'clean', bytes: [0, 1, 1, 2, 2, 0], before: [1, 0] })
  expect(check(lab.file(name))).toBe('clean')
  expect(json<{ snapshots: object[] }>('info', lab.file(name)).snapshots).toMatchObject([{ name: 'one' }])
  const expected = Buffer.alloc(size).fill(1, 1000, 50_000).fill(2, 50_000, 150_000)
  expect(Buffer.compare(disk(lab.file(name)), expected)).toBe(0)
})
