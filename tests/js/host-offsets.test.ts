import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { HostOffsets } from '../../src/js/engine/host-offsets.js'
import { memory, Qcow2 } from '../../src/js/index.js'
import { create, qemuIo } from './helpers/qemu.js'
import { Random } from './helpers/random.js'

const MiB = 1024 * 1024
const base = 5 * MiB

/** The lookups of a disk that is contiguous in extents of `extent` bytes, which are in the file in reverse order; and their count. */
function lookups(extent: number) {
  const counted = { calls: 0 }
  const exact = (offset: number, length: number) => {
    const index = Math.floor(offset / extent)
    return offset + length > (index + 1) * extent ? -1 : base + (10_000 - index) * extent + (offset % extent)
  }
  const lookup = (offset: bigint, length: number) => {
    counted.calls += 1
    return exact(Number(offset), length)
  }
  return { lookup, exact, counted }
}

it('looks each window of a contiguous image up once, and returns what the engine does', () => {
  const { lookup, exact, counted } = lookups(32 * MiB)
  const offsets = new HostOffsets(lookup, 600 * MiB)
  const random = new Random(1)
  for (let times = 0; times < 20_000; times += 1) {
    const at = random.below(600 * MiB - 4096)
    expect(offsets.find(at, 4096)).toBe(exact(at, 4096))
  }
  // Each window, and the reads that cross two.
  expect(counted.calls).toBeLessThan(600 + 20_000 / 100)
})

it('leaves a fragmented image to the engine, after some lookups in vain', () => {
  const { lookup, exact, counted } = lookups(MiB / 2)
  const offsets = new HostOffsets(lookup, 600 * MiB)
  for (let at = 0; at < 500 * MiB; at += 64 * 1024) expect(offsets.find(at, 4096)).toBe(exact(at, 4096))
  expect(counted.calls).toBeLessThanOrEqual(500 * 16 + 64)
})

it('leaves offsets beyond what it can number to the engine, and ends the last window with the disk', () => {
  const { lookup, exact, counted } = lookups(2 ** 40)
  const offsets = new HostOffsets(lookup, MiB + 4096)
  expect(offsets.find(MiB, 4096)).toBe(exact(MiB, 4096))
  expect(offsets.find(5n, 1)).toBe(exact(5, 1))
  expect(new HostOffsets(() => 7, 2 ** 53).find(2 ** 52, 512)).toBe(7)
  expect(counted.calls).toBe(2)
})

it('an image with holes, zeros and compressed clusters is read as it is', async () => {
  const path = create('windows.qcow2', 16 * MiB)
  qemuIo(path, 'write -P 1 0 4M', 'write -c -P 2 4M 64k', 'write -P 3 5M 3M', 'write -z 6M 64k', 'write -P 4 9M 100k')
  await using image = await Qcow2.open(memory(readFileSync(path)))
  const whole = await image.read(0, image.size)
  const random = new Random(2)
  for (let times = 0; times < 5000; times += 1) {
    const length = 1 + random.below(9000)
    const at = random.below(image.size - length)
    expect(Buffer.compare(image.readSync(at, length), whole.subarray(at, at + length))).toBe(0)
  }
})
