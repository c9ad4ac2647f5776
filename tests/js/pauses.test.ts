// Long changes over storages that are always ready: others have their turn meanwhile, and an abort is heard.
import { memory, Qcow2 } from 'qcow2-web'
import { expect, test, vi } from 'vitest'

const MIB = 2 ** 20

/** A disk of many small clusters, all of them allocated: to discard them takes some turns. */
async function fragmented(): Promise<Qcow2> {
  const storage = memory()
  const image = await Qcow2.create(storage, { size: 64 * MIB, clusterSize: 512 })
  for (let at = 0; at < image.size; at += MIB) await image.write(at, new Uint8Array(MIB).fill(1))
  return image
}

test('a long discard lets others have their turn', async () => {
  const image = await fragmented()
  let over = false
  let turns = 0
  const watch = () => {
    if (over) return
    turns += 1
    setImmediate(watch)
  }
  setImmediate(watch)
  await image.discard(0, image.size)
  over = true
  expect(turns).toBeGreaterThan(1)
  expect(await image.read(0, 4096)).toEqual(new Uint8Array(4096))
  await image.close()
})

test('a long discard can be aborted between its steps', async () => {
  const image = await fragmented()
  const abort = new AbortController()
  setImmediate(() => abort.abort(new Error('enough')))
  await expect(image.discard(0, image.size, { signal: abort.signal })).rejects.toThrow('enough')
  const last = await image.read(image.size - 4096, 4096)
  expect(last).toEqual(new Uint8Array(4096).fill(1))
  await image.close()
})

test('a synchronous discard waits for nothing', async () => {
  const image = await fragmented()
  image.discardSync(0, image.size)
  expect(image.readSync(0, 4096)).toEqual(new Uint8Array(4096))
  await image.close()
})

test('a synchronous request that would have to wait for another one is busy, and works later', async () => {
  const image = await fragmented()
  // Every step takes a whole turn.
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 1000
    return now
  })
  const busy = expect.objectContaining({ code: 'BUSY' })
  const discarding = image.discard(0, image.size)
  const resizing = image.resize(image.size / 2, { shrink: true })
  expect(() => image.writeSync(0, new Uint8Array(10))).toThrow(busy)
  expect(() => image.discardSync(0, image.size)).toThrow(busy)
  expect(() => image.writeZeroesSync(0, 4096)).toThrow(busy)
  await Promise.all([discarding, resizing])
  vi.restoreAllMocks()
  image.writeSync(0, new Uint8Array(10).fill(7))
  image.flushSync()
  expect([...image.readSync(9, 2)]).toEqual([7, 0])
  await image.close()
})
