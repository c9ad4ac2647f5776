import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { amend, check, memory, nodeFile, Qcow2, repair } from '../../src/js/index.js'
import { contents, create, difference, disk, json, qemuImg, qemuIo } from './helpers/qemu.js'

const MiB = 2 ** 20
const writable = (path: string) => nodeFile(path)
interface Info {
  'backing-filename'?: string
  'format-specific': { data: Record<string, unknown> }
}

/** A sound image of 8 MiB whose clusters are of 64 KiB: the L2 table is at 0x40000, its data follow. */
function sound(name: string): string {
  const path = create(name, '8M')
  qemuIo(path, 'write -P 1 0 1M')
  return path
}

/** Changes bytes of a file. */
function damage(path: string, offset: number, bytes: number[]): void {
  const all = readFileSync(path)
  all.set(bytes, offset)
  writeFileSync(path, all)
}

test('lost space is freed', async () => {
  const path = sound('leaks.qcow2')
  damage(path, 0x40000, [0, 0, 0, 0, 0, 0, 0, 0])
  const { before, after } = await repair(writable(path), 'leaks')
  expect(before).toMatchObject({ verdict: 'leaks', leaks: 1 })
  expect(after).toMatchObject({ verdict: 'clean', leaks: 0, findings: [] })
  qemuImg('check', path)
})

test('an image that is corrupt, and marked so, is sound afterwards and keeps its data', async () => {
  const path = sound('corrupt.qcow2')
  const expected = disk(path)
  // The counts of all clusters are 0, the corrupt bit is set.
  damage(path, 0x20000, Array<number>(64).fill(0))
  damage(path, 79, [2])
  await expect(Qcow2.open(writable(path), { writable: true })).rejects.toMatchObject({ code: 'MARKED_CORRUPT' })
  expect(await check(nodeFile(path))).toMatchObject({ verdict: 'corrupt', markedCorrupt: true })
  const { after } = await repair(writable(path), 'all')
  expect(after).toMatchObject({ verdict: 'clean', markedCorrupt: false })
  qemuImg('check', path)
  expect(difference(disk(path), expected)).toBe(-1)
})

test('what takes a loss is repaired only where that is accepted', async () => {
  const path = sound('loss.qcow2')
  // The first entry points between two clusters.
  damage(path, 0x40006, [0x02])
  const found = await check(nodeFile(path))
  expect(found.findings.filter(({ remedy }) => remedy === 'loss')).toHaveLength(found.lossy)
  expect(found.lossy).toBeGreaterThan(0)
  expect((await repair(writable(path), 'all')).after.verdict).toBe('corrupt')
  expect((await repair(writable(path), 'all', { acceptLoss: true })).after.verdict).toBe('clean')
  qemuImg('check', path)
})

test('options are amended, as qemu-img reports them', async () => {
  const path = create('amended.qcow2', '8M')
  const bytes = contents(2 * MiB)
  {
    await using image = await Qcow2.open(writable(path), { writable: true })
    await image.write(0, bytes)
  }
  const data = () => json<Info>('info', path)['format-specific'].data
  await amend(writable(path), { refcountBits: 64, lazyRefcounts: true })
  expect(data()).toMatchObject({ 'refcount-bits': 64, 'lazy-refcounts': true })
  await amend(writable(path), { refcountBits: 16, lazyRefcounts: false })
  await amend(writable(path), { version: 2 })
  expect(data()).toMatchObject({ compat: '0.10', 'refcount-bits': 16 })
  await amend(writable(path), { version: 3 })
  qemuImg('check', path)
  expect(difference(disk(path).subarray(0, bytes.length), bytes)).toBe(-1)
})

test('a backing file is recorded and removed', async () => {
  create('base.qcow2', '8M')
  const path = create('overlay.qcow2', '8M')
  await amend(writable(path), { backing: { name: 'base.qcow2', format: 'qcow2' } })
  expect(json<Info>('info', path)['backing-filename']).toBe('base.qcow2')
  await amend(writable(path), { backing: null })
  expect(json<Info>('info', path)['backing-filename']).toBeUndefined()
  qemuImg('check', path)
})

test('what can’t be amended has a code', async () => {
  const storage = memory()
  await (await Qcow2.create(storage, { size: MiB, extendedL2: true })).close()
  await expect(amend(storage, { version: 2 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await expect(amend(storage, { refcountBits: 3 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await expect(amend(storage, { dataFile: { raw: true } })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await expect(amend(storage, { dataFile: { name: 'x' } })).rejects.toMatchObject({ code: 'UNNEEDED_DATA_FILE' })
})
