import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  type CheckReport,
  check,
  type DiffExtent,
  memory,
  nodeFile,
  Qcow2,
  type Qcow2Error,
} from '../../src/js/index.js'
import { create, difference, disk, file, qemuImg, qemuIo } from './helpers/qemu.js'

const MiB = 2 ** 20

/** The snapshots that QEMU lists: id and name. */
function listed(path: string): [string, string][] {
  const lines = qemuImg('snapshot', '-l', path).split('\n').slice(2).filter(Boolean)
  return lines.map((line) => line.trim().split(/\s+/).slice(0, 2) as [string, string])
}

const open = (path: string) => Qcow2.open(nodeFile(path), { writable: true })
const filled = (value: number, length = MiB) => new Uint8Array(length).fill(value)
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: Qcow2Error) => error.code,
  )

test('a snapshot that is created is QEMU’s: listed, read, gone back to and deleted', async () => {
  const path = create('taken.qcow2', '8M')
  const image = await open(path)
  await image.write(0, filled(1))
  const date = new Date('2024-02-29T12:00:00.250Z')
  const taken = await image.snapshots.create('before', { date, vmClockNsec: 5_000_000_000n })
  expect(taken).toMatchObject({ id: '1', name: 'before', dateSec: date.getTime() / 1000 - 0.25, dateNsec: 250_000_000 })
  expect(taken.vmClockNsec).toBe(5_000_000_000n)
  expect((await image.snapshots.list()).map(({ name }) => name)).toEqual(['before'])
  await image.write(0, filled(2))
  await image.close()
  qemuImg('check', path)
  expect(listed(path)).toEqual([['1', 'before']])
  expect(disk(path)[0]).toBe(2)
  qemuImg('snapshot', '-a', 'before', path)
  expect(disk(path)[0]).toBe(1)
  qemuImg('snapshot', '-d', 'before', path)
  qemuImg('check', path)
})

test('a snapshot that QEMU took is gone back to, renamed and deleted', async () => {
  const path = create('given.qcow2', '8M')
  qemuIo(path, 'write -P 1 0 1M')
  qemuImg('snapshot', '-c', 'first', path)
  qemuIo(path, 'write -P 2 0 4M')
  qemuImg('snapshot', '-c', 'second', path)
  const image = await open(path)
  await image.snapshots.apply('first')
  expect([...(await image.read(0, 1)), ...(await image.read(2 * MiB, 1))]).toEqual([1, 0])
  await image.snapshots.rename('2', 'later')
  await image.snapshots.delete('first')
  expect((await image.snapshots.list()).map(({ id, name }) => [id, name])).toEqual([['2', 'later']])
  await image.close()
  qemuImg('check', path)
  expect(listed(path)).toEqual([['2', 'later']])
  qemuImg('snapshot', '-a', 'later', path)
  expect(disk(path)[2 * MiB]).toBe(2)
})

test('a VM state goes in as bytes or as a stream, and comes out again', async () => {
  const path = create('state.qcow2', '8M')
  const image = await open(path)
  const state = Uint8Array.from({ length: 300_000 }, (_, index) => index % 251)
  const parts = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < state.length; at += 70_000) controller.enqueue(state.slice(at, at + 70_000))
      controller.close()
    },
  })
  await image.snapshots.create('bytes', { vmState: state })
  const written: number[] = []
  await image.snapshots.create('stream', { vmState: parts, onVmState: (bytes) => written.push(bytes) })
  expect(written).toEqual([70_000, 140_000, 210_000, 280_000, 300_000])
  for (const name of ['bytes', 'stream']) {
    const view = await image.snapshots.open(name)
    expect(view.vmState.size).toBe(state.length)
    expect(difference(await view.vmState.read(0, state.length), state)).toBe(-1)
    const read: number[] = []
    const stream = view.vmState.readable({ chunkSize: 131_072, onProgress: ({ done }) => read.push(done) })
    expect(difference(new Uint8Array(await new Response(stream).arrayBuffer()), state)).toBe(-1)
    expect(read).toEqual([131_072, 262_144, 300_000])
    expect(() => view.vmState.readable({ offset: state.length + 1 })).toThrow(/OUT_OF_BOUNDS/)
    await view.close()
  }
  await image.close()
  qemuImg('check', path)
})

test('a snapshot that is open is not deleted', async () => {
  const image = await Qcow2.create(memory(), { size: MiB })
  await image.snapshots.create('kept')
  const view = await image.snapshots.open('kept')
  expect(await code(image.snapshots.delete('kept'))).toBe('SNAPSHOT_IN_USE')
  await view.close()
  await image.snapshots.delete('kept')
  expect(await image.snapshots.list()).toHaveLength(0)
  await image.close()
})

test('what can’t be done has a code, and changes nothing', async () => {
  const narrow = memory()
  const image = await Qcow2.create(narrow, { size: MiB, refcountBits: 1 })
  expect(await code(image.snapshots.create('one'))).toBe('REFCOUNT_LIMIT')
  expect(await code(image.snapshots.apply('none'))).toBe('NO_SUCH_SNAPSHOT')
  expect(await code(image.snapshots.create('x'.repeat(256)))).toBe('BAD_SNAPSHOT_NAME')
  expect(await code(image.snapshots.create('when', { date: new Date(-1) }))).toBe('INVALID_ARGUMENT')
  for (const vmState of ['text', 5, new Blob(['text']).stream().pipeThrough(new TextDecoderStream())]) {
    const made = image.snapshots.create('what', { vmState: vmState as unknown as Uint8Array })
    await expect(made).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: expect.stringMatching(/vmState/) })
  }
  expect(await code(image.resize(0))).toBe('WOULD_SHRINK')
  expect((await image.check()).verdict).toBe('clean')
  await image.close()
})

test('a disk grows and shrinks; a snapshot has the size that it had', async () => {
  const path = create('sized.qcow2', '4M')
  const image = await open(path)
  await image.write(0, filled(7, 4 * MiB))
  await image.snapshots.create('small')
  await image.resize(64 * MiB)
  expect(image.size).toBe(64 * MiB)
  await image.write(60 * MiB, filled(8))
  await image.resize(2 * MiB, { shrink: true })
  expect(image.size).toBe(2 * MiB)
  await image.flush()
  await image.snapshots.apply('small')
  expect(image.size).toBe(4 * MiB)
  expect((await image.read(4 * MiB - 1, 1))[0]).toBe(7)
  await image.close()
  qemuImg('check', path)
  expect(difference(disk(path), filled(7, 4 * MiB))).toBe(-1)
})

test('what differs between states is found in the tables', async () => {
  const image = await Qcow2.create(memory(), { size: 8 * MiB })
  await image.write(0, filled(1, 2 * MiB))
  await image.snapshots.create('one')
  await image.write(MiB, filled(2, 65536))
  await image.snapshots.create('two')
  await image.write(4 * MiB, filled(3, 65536))
  const walk = async (from: string | null, to?: string | null) => {
    const found: DiffExtent[] = []
    for await (const extent of image.diff(from, to)) found.push(extent)
    return found
  }
  expect(await walk('one', 'two')).toEqual([{ start: MiB, length: 65536 }])
  expect(await walk('two')).toEqual([{ start: 4 * MiB, length: 65536 }])
  expect(await walk('one')).toEqual([
    { start: MiB, length: 65536 },
    { start: 4 * MiB, length: 65536 },
  ])
  expect(await walk(null)).toEqual([])
  await expect(image.diff('three').next()).rejects.toMatchObject({ code: 'NO_SUCH_SNAPSHOT' })
  await image.close()
})

test('progress is reported, and an exception of its listener ends what it listens to', async () => {
  const image = await Qcow2.create(memory(), { size: 64 * MiB, clusterSize: 512 })
  for (let at = 0; at < 64 * MiB; at += MiB) await image.write(at, filled(1, 512))
  const told: number[] = []
  await image.snapshots.create('watched', { onProgress: ({ done }) => void told.push(done) })
  expect(told.length).toBeGreaterThan(10)
  expect([...told].sort((a, b) => a - b)).toEqual(told)
  const stop = new Error('enough')
  const onProgress = () => {
    throw stop
  }
  await expect(image.snapshots.create('ended', { onProgress })).rejects.toBe(stop)
  await expect(image.check({ onProgress })).rejects.toBe(stop)
  expect((await image.snapshots.list()).map(({ name }) => name)).toEqual(['watched'])
  expect((await image.check()).verdict).toBe('clean')
  await image.close()
})

test('a check finds what qemu-img check finds, also in a file that does not open', async () => {
  const path = create('damaged.qcow2', '8M')
  qemuIo(path, 'write -P 1 0 1M')
  const sound = await check(nodeFile(path))
  expect(sound).toMatchObject({ verdict: 'clean', allocatedClusters: 16, totalClusters: 128, leaks: 0, corruptions: 0 })

  // The L2 entry of the first cluster is cleared, so that its cluster belongs to nobody.
  const bytes = readFileSync(path)
  bytes.fill(0, 0x40000, 0x40008)
  writeFileSync(file('leaky.qcow2'), bytes)
  const leaky = await check(nodeFile(file('leaky.qcow2')))
  expect(leaky).toMatchObject(numbers('leaky.qcow2'))
  expect(leaky.verdict).toBe('leaks')
  expect(leaky.findings).toMatchObject([{ code: 'LEAKED', severity: 'leak', remedy: 'free', offset: 0x50000 }])
  expect(leaky.findings[0]?.message).toMatch(/^The cluster at .*\.$/)
})

/** What QEMU counts. */
function numbers(name: string): Partial<CheckReport> {
  let text: string
  try {
    text = qemuImg('check', '--output=json', file(name))
  } catch (error) {
    text = String((error as { stdout: unknown }).stdout)
  }
  const report = JSON.parse(text)
  return {
    leaks: report.leaks ?? 0,
    corruptions: report.corruptions ?? 0,
    checkErrors: report['check-errors'] ?? 0,
    allocatedClusters: report['allocated-clusters'],
    imageEndOffset: report['image-end-offset'],
  }
}
