import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { blob, inspect, memory, nodeFile, Qcow2 } from '../../src/js/index.js'
import { create, qemuImg, qemuIo } from './helpers/qemu.js'
import { CountedStorage, HeldStorage } from './helpers/storages.js'

it('reports what the header records', async () => {
  const path = create(
    'sound.qcow2',
    '1M',
    '-b',
    'base.img',
    '-F',
    'raw',
    '-u',
    '-o',
    'cluster_size=4k,lazy_refcounts=on',
  )
  qemuImg('snapshot', '-c', 'one', create('snapshot.qcow2', '1M'))
  const bytes = readFileSync(path)
  const found = await inspect(memory(bytes))
  expect(found).toMatchObject({
    fileSize: bytes.length,
    format: 'qcow2',
    backingFile: 'base.img',
    backingFormat: 'raw',
    problems: [],
  })
  expect(found.header).toMatchObject({
    version: 3,
    clusterBits: 12,
    size: 1024n * 1024n,
    l1TableOffset: bytes.readBigUInt64BE(40),
    compatibleFeatures: 1n,
    refcountOrder: 4,
    headerLength: bytes.readUInt32BE(100),
  })
  expect(found.features).toEqual([{ kind: 'compatible', bit: 0, name: 'lazy refcounts' }])
  const format = found.extensions.find(({ type }) => type === 0xe2792aca)
  expect(format && new TextDecoder().decode(format.data)).toBe('raw')
  expect(format && bytes.subarray(format.offset, format.offset + 3).toString()).toBe('raw')
  const { snapshots } = await inspect(nodeFile(path.replace('sound', 'snapshot')))
  expect(snapshots.map(({ name }) => name)).toEqual(['one'])
})

it('reports where an image is wrong', async () => {
  const bytes = readFileSync(create('wrong.qcow2', '1M'))
  bytes.writeUInt32BE(30, 20)
  const { problems, header } = await inspect(memory(bytes))
  expect(header?.clusterBits).toBe(30)
  expect(problems).toContainEqual({
    code: 'CORRUPT_HEADER',
    offset: 20,
    message: expect.stringMatching(/^The .*2\^30.*\.$/),
  })
})

it('reports corruption that the disk does not need, and opens it for reading', async () => {
  const bytes = readFileSync(create('damaged.qcow2', '1M'))
  // One snapshot, in a table that begins within a sector.
  bytes.writeUInt32BE(1, 60)
  bytes.writeBigUInt64BE(513n, 64)
  const problem = { code: 'CORRUPT_HEADER', offset: 64, message: expect.stringMatching(/^The snapshot table.*\.$/) }
  await using image = await Qcow2.open(blob(new Blob([bytes])))
  const info = await image.info()
  expect(info).toMatchObject({ problems: [problem], missing: 0 })
  expect(await image.read(0, 512)).toEqual(new Uint8Array(512))
  expect((await inspect(memory(bytes))).problems).toContainEqual(problem)
})

it('reports how much of a file is missing', async () => {
  const path = create('cut.qcow2', '1M')
  qemuIo(path, 'write -q -P 7 0 1M')
  const bytes = readFileSync(path)
  const cut = bytes.subarray(0, bytes.length - (512 << 10))
  await using image = await Qcow2.open(blob(new Blob([cut])))
  expect((await image.info()).missing).toBe(512 << 10)
  expect((await inspect(memory(cut))).missing).toBe(512 << 10)
  expect((await inspect(memory(bytes))).missing).toBe(0)
})

it('reports which other format a file has', async () => {
  qemuImg('create', '-q', '-f', 'vmdk', 'other.vmdk', '1M')
  const path = create('sound2.qcow2', '1M').replace('sound2.qcow2', 'other.vmdk')
  const found = await inspect(nodeFile(path))
  expect(found.format).toBe('VMDK')
  expect(found.problems.map(({ code }) => code)).toEqual(['NOT_QCOW2'])
  expect('header' in found).toBe(false)
})

it('opens the storage and closes it again, also when it fails', async () => {
  const sound = new CountedStorage(readFileSync(create('closed.qcow2', '1M')))
  await inspect(sound)
  expect(sound.closed).toBe(1)
  const broken = new HeldStorage(1000)
  const inspecting = inspect(broken)
  await broken.asked
  broken.requests[0]?.fail(new Error('broken'))
  await expect(inspecting).rejects.toMatchObject({ code: 'STORAGE' })
  expect([broken.opened, broken.closed]).toEqual([1, 1])
})

it('can be aborted', async () => {
  const storage = new HeldStorage(1000)
  const controller = new AbortController()
  const inspecting = inspect(storage, { signal: controller.signal })
  await storage.asked
  controller.abort(new Error('enough'))
  await expect(inspecting).rejects.toThrow('enough')
  expect(storage.requests[0]?.signal.aborted).toBe(true)
})
