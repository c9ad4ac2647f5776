import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { type Extent, memory, nodeFile, Qcow2 } from '../../src/js/index.js'
import { check, create, disk, qemuIo } from './helpers/qemu.js'

const KiB = 1024

/** Writes of zeros to what is stored, to what is not, to whole clusters and to parts. */
const writes = [
  [64 * KiB, 128 * KiB],
  [320 * KiB, 4 * KiB],
  [512 * KiB, 64 * KiB],
  [800 * KiB, 100 * KiB],
] as const

function made(name: string): string {
  const path = create(name, '1M')
  qemuIo(path, 'write -P 7 0 448k')
  return path
}

async function extentsOf(image: Qcow2): Promise<Extent[]> {
  const extents: Extent[] = []
  for await (const extent of image.map()) extents.push(extent)
  return extents
}

/** The extents of an image file. QEMU's own map also looks for holes in the file. */
async function clusters(path: string): Promise<Extent[]> {
  await using image = await Qcow2.open(nodeFile(path))
  return await extentsOf(image)
}

describe.each([
  ['off', undefined],
  ['off', false],
  ['on', true],
  ['unmap', 'unmap'],
] as const)('detectZeroes as QEMU: %s', (mode, detectZeroes) => {
  it.each([false, true])('writes of zeros are stored as by QEMU; synchronously: %s', async (sync) => {
    const [ours, theirs] = [made('ours.qcow2'), made('theirs.qcow2')]
    const storage = sync ? nodeFile(ours, { sync }) : nodeFile(ours)
    const image = await Qcow2.open(storage, { writable: true, detectZeroes })
    for (const [offset, length] of writes) {
      if (sync) image.writeSync(offset, new Uint8Array(length))
      else await image.write(offset, new Uint8Array(length))
    }
    await image.close()
    const options = `driver=qcow2,file.filename=${theirs},detect-zeroes=${mode},discard=unmap`
    const commands = writes.flatMap(([offset, length]) => ['-c', `write -P 0 ${offset} ${length}`])
    execFileSync('qemu-io', ['--image-opts', ...commands, options])
    expect(await clusters(ours)).toEqual(await clusters(theirs))
    expect(Buffer.compare(disk(ours), disk(theirs))).toBe(0)
    expect(check(ours)).toBe('clean')
  })
})

it('detectZeroes works for an image that is created, and reports the change', async () => {
  const target = memory()
  await using image = await Qcow2.create(target, { size: 1024 * KiB, detectZeroes: true })
  const changes: number[] = []
  image.addEventListener('change', ({ offset }) => changes.push(Number(offset)))
  await image.write(0, new Uint8Array(256 * KiB))
  await image.write(512 * KiB, new Uint8Array(64 * KiB).fill(1))
  expect((await extentsOf(image)).filter(({ data }) => data)).toMatchObject([{ start: 512 * KiB }])
  expect(changes).toEqual([0, 512 * KiB])
})

it.each(['on', 1, null])('detectZeroes is refused if it is %o', async (value) => {
  const opening = Qcow2.create(memory(), { size: 512, detectZeroes: value as never })
  await expect(opening).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})
