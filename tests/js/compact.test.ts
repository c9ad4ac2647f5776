import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compact, memory, Qcow2, reclaimable } from '../../src/js/index.js'
import { check, contents, convert, difference, disk, save } from './helpers/qemu.js'

const MiB = 1024 * 1024
const size = 16 * MiB
const bytes = contents(size, 7)

/** An image that qemu-img made, with the first half of each MiB discarded. */
async function halved() {
  const storage = memory(readFileSync(convert('full.qcow2', bytes)))
  const image = await Qcow2.open(storage, { writable: true })
  const expected = bytes.slice()
  for (let at = 0; at < size; at += MiB) {
    await image.discard(at, MiB / 2)
    expected.fill(0, at, at + MiB / 2)
  }
  await image.flush()
  return { storage, image, expected }
}

/** The disk as QEMU reads it. */
function byQemu(storage: { bytes(): Uint8Array }): Uint8Array {
  const path = save('compacted.qcow2', storage.bytes())
  expect(check(path)).toBe('clean')
  return disk(path)
}

describe('compact', () => {
  it('makes the file as small as was said, and changes nothing that can be read', async () => {
    const { storage, image, expected } = await halved()
    const before = storage.bytes().length
    const gain = await reclaimable(image)
    expect(gain).toBeGreaterThan(before / 3)
    const seen: { done: number; total: number }[] = []
    await compact(image, { onProgress: (progress) => seen.push(progress) })
    expect(storage.bytes().length).toBeLessThanOrEqual(before - gain)
    expect(difference(await image.read(0, size), expected)).toBe(-1)
    await image.close()
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.every(({ done, total }) => done <= total)).toBe(true)
    expect(difference(byQemu(storage), expected)).toBe(-1)
    await using reader = await Qcow2.open(storage)
    expect(await reader.reclaimable()).toBeLessThan(65536)
  })

  it('goes on while the image is written', async () => {
    const { storage, image, expected } = await halved()
    const compacting = image.compact({ detectZeroes: true })
    for (let at = 1000; at < size - 5000; at += 700_000) {
      const written = new Uint8Array(5000).fill(at % 251)
      expected.set(written, at)
      await image.write(at, written)
    }
    await compacting
    expect(difference(await image.read(0, size), expected)).toBe(-1)
    await image.close()
    expect(difference(byQemu(storage), expected)).toBe(-1)
  })

  it('stops when it is aborted, and when its callback throws', async () => {
    const { storage, image, expected } = await halved()
    const reason = new Error('enough')
    const fails = () => {
      throw reason
    }
    await expect(image.compact({ onProgress: fails })).rejects.toBe(reason)
    await expect(image.compact({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await image.close()
    expect(difference(byQemu(storage), expected)).toBe(-1)
  })

  it('is refused for an image that is open for reading', async () => {
    const { storage, image } = await halved()
    await image.close()
    await using reader = await Qcow2.open(storage)
    await expect(reader.compact()).rejects.toMatchObject({ code: 'READ_ONLY' })
    await expect(reader.compact({ detectZeroes: 1 as never })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
