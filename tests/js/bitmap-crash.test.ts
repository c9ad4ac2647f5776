import { expect, test } from 'vitest'
import { check, memory, Qcow2 } from '../../src/js/index.js'
import { crashed, Machine, of } from './helpers/crash.js'
import { Random } from './helpers/random.js'

const clusterSize = 4096
const size = 256 * clusterSize
const open = (machine: Machine) => Qcow2.open(machine.open(0), { writable: true })

/** The clusters that a bitmap has; `undefined` where it is inconsistent or gone. */
async function dirty(image: Qcow2, name: string): Promise<Set<number> | undefined> {
  const found = (await image.bitmaps.list()).find((each) => each.name === name)
  if (!found || found.inUse) return undefined
  const clusters = new Set<number>()
  for await (const { start, length } of image.bitmaps.extents(name)) {
    for (let at = start; at < start + length; at += clusterSize) clusters.add(at / clusterSize)
  }
  return clusters
}

/** Changes an image and its bitmaps at random; returns what each bitmap must have in the end. */
async function work(image: Qcow2, random: Random, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) {
    const at = random.below(255)
    const count = 1 + random.below(Math.min(8, 255 - at))
    const bytes = new Uint8Array(count * clusterSize).fill(1 + random.below(250))
    const kind = random.below(6)
    if (kind === 0) await image.writeZeroes(at * clusterSize, bytes.length)
    else if (kind === 1) await image.discard(at * clusterSize, bytes.length)
    else if (kind === 2) await image.writeCompressed(at * clusterSize, bytes)
    else await image.write(at * clusterSize, bytes)
    if (random.below(4) === 0) await image.flush()
  }
}

test('a consistent bitmap has every change, after any crash', async () => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const random = new Random(seed)
    const machine = new Machine([new Uint8Array()])
    const made = await Qcow2.create(machine.open(0), { size, clusterSize })
    await made.bitmaps.create('b', { granularity: clusterSize })
    await work(made, random, 10)
    await made.close()
    const before = of(machine.files, 0).slice()
    const old = await Qcow2.open(memory(before))
    const [bitsBefore, diskBefore] = [await dirty(old, 'b'), await old.read(0, size)]
    await old.close()
    expect(bitsBefore?.size).toBeGreaterThan(0)

    machine.log.length = 0
    const image = await open(machine)
    await image.bitmaps.create('c', { granularity: 512 })
    await work(image, random, 12)
    if (seed % 2 === 0) await image.bitmaps.delete('c')
    await image.close()
    for (let cut = 0; cut <= machine.log.length; cut += 1) {
      const [file = before] = crashed([before], machine.log, cut, random)
      const { verdict } = await check(memory(file))
      expect(['clean', 'leaks']).toContain(verdict)
      const after = await Qcow2.open(memory(file))
      const [bits, disk] = [await dirty(after, 'b'), await after.read(0, size)]
      await after.close()
      if (!bits) continue
      for (const cluster of bitsBefore ?? []) expect(bits.has(cluster)).toBe(true)
      for (let cluster = 0; cluster < 256; cluster += 1) {
        const range = [cluster * clusterSize, (cluster + 1) * clusterSize] as const
        const changed = Buffer.compare(disk.subarray(...range), diskBefore.subarray(...range)) !== 0
        if (changed) expect(bits.has(cluster), `seed ${seed}, cut ${cut}, cluster ${cluster}`).toBe(true)
      }
    }
  }
})
