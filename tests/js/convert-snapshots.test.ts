import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type ConvertOptions, convert, memory, Qcow2, type Qcow2Error } from '../../src/js/index.js'
import { check, contents, difference, disk, file, qemuImg, save } from './helpers/qemu.js'

const MiB = 2 ** 20
const size = 6 * MiB

/** What an image and its snapshots hold, in their order. */
async function states(image: Qcow2) {
  const found: { name: string; bytes: Uint8Array; vmState: Uint8Array; vmClockNsec: bigint }[] = []
  for (const { id, name, vmClockNsec } of image.snapshots.list()) {
    await using view = await image.snapshots.open(id)
    const vmState = await view.vmState.read(0, view.vmState.size)
    found.push({ name, bytes: await view.read(0, view.size), vmState, vmClockNsec })
  }
  return [...found, { name: '', bytes: await image.read(0, image.size), vmState: new Uint8Array(), vmClockNsec: 0n }]
}

/** An image with snapshots of different sizes and contents, over a backing file, and with a bitmap. */
async function source() {
  const base = memory()
  const below = await Qcow2.create(base, { size })
  await below.write(0, contents(size, 3))
  await below.close()
  const storage = memory()
  const image = await Qcow2.create(storage, {
    size,
    backing: { name: 'base', format: 'qcow2', storage: base },
  })
  await image.write(MiB, contents(MiB, 4))
  await image.snapshots.create('one', { vmState: contents(100_000, 5), vmClockNsec: 77n })
  await image.writeZeroes(MiB / 2, 2 * MiB, { unmap: true })
  await image.snapshots.create('two')
  await image.resize(size + MiB)
  await image.write(size, contents(MiB, 6))
  await image.snapshots.create('larger')
  await image.bitmaps.create('changes')
  await image.snapshots.apply('one')
  await image.write(5, contents(70_000, 8))
  return image
}

const kinds: [string, ConvertOptions][] = [
  ['plain clusters', {}],
  ['compressed clusters', { compressed: true, workers: 0 }],
  ['small extended clusters', { clusterSize: 16384, extendedL2: true }],
  ['all zeros stored', { sparseSize: 0 }],
]

it.each(kinds)('snapshots and bitmaps are kept: %s', async (_, options) => {
  const image = await source()
  const expected = await states(image)
  const storage = memory()
  let last = { done: 0, total: 0 }
  const onProgress = (progress: { done: number; total: number }) => {
    expect(progress.done).toBeGreaterThanOrEqual(last.done)
    last = progress
  }
  await convert(image, storage, { ...options, snapshots: true, bitmaps: true, onProgress })
  expect(last.done).toBe(last.total)

  await using made = await Qcow2.open(storage)
  const found = await states(made)
  expect(found.map(({ name, vmClockNsec }) => [name, vmClockNsec])).toEqual(
    expected.map(({ name, vmClockNsec }) => [name, vmClockNsec]),
  )
  found.forEach(({ bytes, vmState }, index) => {
    expect(difference(bytes, expected[index]?.bytes ?? new Uint8Array())).toBe(-1)
    expect(difference(vmState, expected[index]?.vmState ?? new Uint8Array())).toBe(-1)
  })
  const ranges = async (of: Qcow2) => {
    const all: unknown[] = []
    for await (const extent of of.bitmaps.extents('changes')) all.push(extent)
    return all
  }
  expect(await ranges(made)).toEqual(await ranges(image))
  await image.close()

  const path = save('kept.qcow2', storage.bytes())
  expect(check(path)).toBe('clean')
  expect(difference(disk(path), expected.at(-1)?.bytes ?? new Uint8Array())).toBe(-1)
  const raw = file('two.raw')
  qemuImg('convert', '-O', 'raw', '-l', 'snapshot.name=two', path, raw)
  expect(difference(readFileSync(raw).subarray(0, size), expected[1]?.bytes ?? new Uint8Array())).toBe(-1)
})

it('what the snapshots share is stored once', async () => {
  const image = await source()
  const [alone, kept] = [memory(), memory()]
  await convert(image, alone)
  await convert(image, kept, { snapshots: true })
  await image.close()
  expect(kept.bytes().length).toBeLessThan(2 * alone.bytes().length)
})

it('one whole image is needed, and a new one', async () => {
  const image = await source()
  const code = (options: ConvertOptions, from: Parameters<typeof convert>[0] = image) =>
    convert(from, memory(), { snapshots: true, ...options }).then(
      () => 'nothing',
      (error: Qcow2Error) => error.code,
    )
  expect(await code({ format: 'raw' })).toBe('INVALID_ARGUMENT')
  expect(await code({ range: { offset: 0, length: MiB } })).toBe('INVALID_ARGUMENT')
  expect(await code({}, [image, image])).toBe('INVALID_ARGUMENT')
  await image.close()
})
