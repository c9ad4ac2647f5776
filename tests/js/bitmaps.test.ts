import { expect, test } from 'vitest'
import { nodeFile, Qcow2, type Qcow2Error } from '../../src/js/index.js'
import { check, create, qemuImg, qemuIo } from './helpers/qemu.js'

const KiB = 1024

async function extents(image: Qcow2, name: string): Promise<[start: number, end: number][]> {
  const found: [number, number][] = []
  for await (const { start, length } of image.bitmaps.extents(name)) found.push([start / KiB, (start + length) / KiB])
  return found
}

const open = (path: string) => Qcow2.open(nodeFile(path, { sync: true }), { writable: true })

test('what QEMU wrote is in the bitmap that it stored', async () => {
  const path = create('theirs.qcow2', '64M')
  qemuImg('bitmap', '--add', '-g', '4k', path, 'b')
  qemuIo(path, 'write -P 1 0 5k', 'write -P 2 1M 64k', 'write -z 10M 100k', 'discard 20M 1M')
  await using image = await Qcow2.open(nodeFile(path))
  expect(await extents(image, 'b')).toEqual([
    [0, 8],
    [1024, 1088],
    [10240, 10340],
    [20480, 21504],
  ])
})

test('a bitmap follows every change, and QEMU reads it', async () => {
  const path = create('ours.qcow2', '64M')
  const image = await open(path)
  await image.bitmaps.create('b', { granularity: 4096 })
  await image.bitmaps.create('off', { granularity: 4096, enabled: false })
  await image.write(100, new Uint8Array(5000).fill(1))
  await image.writeZeroes(1024 * KiB, 10 * KiB)
  await image.discard(2048 * KiB, 64 * KiB)
  await image.writeCompressed(4096 * KiB, new Uint8Array(64 * KiB).fill(2))
  image.writeSync(8192 * KiB, new Uint8Array(10))
  const expected = [
    [0, 8],
    [1024, 1036],
    [2048, 2112],
    [4096, 4160],
    [8192, 8196],
  ]
  expect(await extents(image, 'b')).toEqual(expected)
  expect(await extents(image, 'off')).toEqual([])
  await image.close()
  expect(check(path)).toBe('clean')
  qemuImg('bitmap', '--add', '-g', '4k', '--merge', 'b', path, 'copy')
  expect(check(path)).toBe('clean')
  const again = await open(path)
  expect(await extents(again, 'copy')).toEqual(expected)
  await again.write(30000 * KiB, new Uint8Array(1))
  await again.bitmaps.clear('copy')
  await again.bitmaps.merge('off', 'b')
  await again.close()
  expect(check(path)).toBe('clean')
  await using last = await Qcow2.open(nodeFile(path))
  expect(await extents(last, 'copy')).toEqual([])
  expect(await extents(last, 'b')).toEqual([...expected, [30000, 30004]])
  expect(await extents(last, 'off')).toEqual([...expected, [30000, 30004]])
})

test('after a crash bitmaps are inconsistent, for QEMU too, and can only be deleted', async () => {
  const path = create('crash.qcow2', '64M')
  qemuImg('bitmap', '--add', path, 'b')
  const crashed = create('crashed.qcow2', '64M')
  const image = await open(path)
  await image.write(0, new Uint8Array(10))
  await image.flush()
  const { copyFileSync } = await import('node:fs')
  copyFileSync(path, crashed)
  await image.close()
  expect(qemuImg('info', crashed)).toContain('in-use')
  expect(qemuImg('info', path)).not.toContain('in-use')
  const again = await open(crashed)
  expect(await again.bitmaps.list()).toMatchObject([{ name: 'b', inUse: true }])
  const code = (promise: Promise<unknown>) => promise.then(String, (error: Qcow2Error) => error.code)
  expect(await code(again.bitmaps.clear('b'))).toBe('BITMAP_INCONSISTENT')
  expect(await code(extents(again, 'b'))).toBe('BITMAP_INCONSISTENT')
  expect(await code(again.bitmaps.clear('c'))).toBe('NO_SUCH_BITMAP')
  expect(await code(again.bitmaps.create('b'))).toBe('BITMAP_EXISTS')
  expect(await code(again.bitmaps.create('c', { granularity: 1000 }))).toBe('BAD_BITMAP')
  await again.bitmaps.delete('b')
  await again.close()
  expect(check(crashed)).toBe('clean')
  expect(qemuImg('info', crashed)).not.toContain('bitmaps')
})

test('bitmaps survive snapshots and other sizes of the disk', async () => {
  const path = create('sizes.qcow2', '64M')
  qemuImg('bitmap', '--add', '-g', '64k', path, 'b')
  qemuIo(path, 'write 63M 1M')
  const image = await open(path)
  await image.snapshots.create('s')
  await image.resize(63 * KiB * KiB + 512 * KiB, { shrink: true })
  await image.resize(128 * KiB * KiB)
  await image.close()
  expect(check(path)).toBe('clean')
  const again = await open(path)
  expect((await extents(again, 'b')).at(-1)?.[1]).toBeLessThanOrEqual(64 * KiB)
  await again.snapshots.apply('s')
  expect(await extents(again, 'b')).toEqual([[0, 64 * KiB]])
  await again.close()
  expect(check(path)).toBe('clean')
})
