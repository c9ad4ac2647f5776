import { expect, test } from 'vitest'
import { amend, check, commit, memory, Qcow2, rebase } from '../../src/js/index.js'
import { crashed, Machine, of } from './helpers/crash.js'
import { difference } from './helpers/qemu.js'
import { Random } from './helpers/random.js'

const clusterSize = 4096
const size = 64 * clusterSize

/** A base, and an overlay of it with data, zeros and compressed clusters. */
async function chain(): Promise<{ files: Uint8Array[]; disk: Uint8Array }> {
  const machine = new Machine([new Uint8Array(), new Uint8Array(), new Uint8Array()])
  const fill = (value: number, clusters: number) => new Uint8Array(clusters * clusterSize).fill(value)
  for (const file of [0, 2]) {
    const base = await Qcow2.create(machine.open(file), { size: size / 2, clusterSize })
    await base.write(0, fill(1 + file, 8))
    await base.write(20 * clusterSize, fill(7 + file, 8))
    await base.close()
  }
  const overlay = await Qcow2.create(machine.open(1), {
    size,
    clusterSize,
    backing: { name: 'base', format: 'qcow2', storage: memory(of(machine.files, 0)) },
  })
  await overlay.write(3 * clusterSize, fill(3, 3))
  await overlay.writeZeroes(22 * clusterSize, 3 * clusterSize)
  await overlay.writeCompressed(40 * clusterSize, fill(4, 4))
  await overlay.write(60 * clusterSize + 100, fill(5, 1))
  const disk = await overlay.read(0, size)
  await overlay.close()
  return { files: machine.files, disk }
}

async function whole(files: readonly Uint8Array[], file: number, backing: number | null): Promise<Uint8Array> {
  const storage = backing === null ? null : memory(of(files, backing))
  const image = await Qcow2.open(memory(of(files, file)), { backing: storage })
  const bytes = await image.read(0, image.size)
  await image.close()
  return bytes
}

async function isSound(bytes: Uint8Array): Promise<void> {
  expect(['clean', 'leaks']).toContain((await check(memory(bytes))).verdict)
}

async function committed(machine: Machine): Promise<void> {
  const overlay = await Qcow2.open(machine.open(1), { writable: true, backing: null })
  const base = await Qcow2.open(machine.open(0), { writable: true })
  await commit(overlay, base)
  await base.close()
  await overlay.close()
}

async function rebased(machine: Machine): Promise<void> {
  const image = await Qcow2.open(machine.open(1), { writable: true, backing: memory(of(machine.files, 0)) })
  const next = await Qcow2.open(memory(of(machine.files, 2)))
  await rebase(image, next)
  await image.close()
  await next.close()
  await amend(machine.open(1), { backing: { name: 'other', format: 'qcow2' } })
}

test('a commit that a crash cuts off is sound, shows the same disk, and can be repeated', async () => {
  const { files, disk } = await chain()
  const machine = new Machine(files.map((bytes) => bytes.slice()))
  await committed(machine)
  expect(difference(await whole(machine.files, 0, null), disk)).toBe(-1)
  expect(difference(await whole(machine.files, 1, 0), disk)).toBe(-1)
  const random = new Random(1)
  expect(machine.log.length).toBeGreaterThan(20)
  for (let cut = 0; cut <= machine.log.length; cut += 1) {
    const after = new Machine(crashed(files, machine.log, cut, random))
    await isSound(of(after.files, 0))
    await isSound(of(after.files, 1))
    expect(difference(await whole(after.files, 1, 0), disk)).toBe(-1)
    await committed(after)
    expect(difference(await whole(after.files, 0, null), disk)).toBe(-1)
    expect(difference(await whole(after.files, 1, 0), disk)).toBe(-1)
  }
})

test('a rebase that a crash cuts off is sound, loses nothing, and can be repeated', async () => {
  const { files, disk } = await chain()
  const machine = new Machine(files.map((bytes) => bytes.slice()))
  await rebased(machine)
  expect(difference(await whole(machine.files, 1, 2), disk)).toBe(-1)
  const random = new Random(2)
  for (let cut = 0; cut <= machine.log.length; cut += 1) {
    const after = new Machine(crashed(files, machine.log, cut, random))
    await isSound(of(after.files, 1))
    const named = (await Qcow2.open(memory(of(after.files, 1)), { backing: null }).then((image) => image.info()))
      .backingFile
    expect(difference(await whole(after.files, 1, named === 'other' ? 2 : 0), disk)).toBe(-1)
    if (named === 'other') continue
    await rebased(after)
    expect(difference(await whole(after.files, 1, 2), disk)).toBe(-1)
  }
})
