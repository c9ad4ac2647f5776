import { readFileSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  type ConvertOptions,
  convert,
  memory,
  nodeFile,
  Qcow2,
  type Qcow2Error,
  raw,
  type Source,
} from '../../src/js/index.js'
import {
  check,
  contents,
  create,
  difference,
  disk,
  file,
  json,
  convert as made,
  qemuImg,
  qemuIo,
  save,
} from './helpers/qemu.js'
import { decrypted, passphrase } from './helpers/secret.js'
import { readOnly } from './helpers/storages.js'

const MiB = 2 ** 20
const size = 5 * MiB + 512
const bytes = contents(size, 7)

/** Where a test's result goes. */
const target = (name: string) => nodeFile(file(name), { create: true })

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: Qcow2Error) => error.code ?? error,
  )

/** Converts, and holds the result against the source by QEMU. */
async function converted(source: Source, from: string, name: string, options: ConvertOptions): Promise<string> {
  await convert(source, target(name), options)
  qemuImg('compare', '-q', from, name)
  if (options.format !== 'raw') expect(check(name)).toBe('clean')
  return file(name)
}

/** The bytes that a file takes on the disk. */
const allocated = (path: string) => statSync(path).blocks * 512

describe.each(['zlib', 'zstd'] as const)('to clusters compressed by %s', (compression) => {
  it.each([512, 4096, 65536, 2 * MiB])('of %d bytes: QEMU finds the same disk', async (clusterSize) => {
    const from = made('source.qcow2', bytes)
    const image = await Qcow2.open(nodeFile(from))
    const options = { compressed: true, compression, clusterSize }
    const path = await converted(image, from, `${compression}-${clusterSize}.qcow2`, options)
    await image.close()
    type Info = { 'format-specific': { data: { 'compression-type': string } } }
    expect(json<Info>('info', path)['format-specific'].data['compression-type']).toBe(
      compression === 'zstd' ? 'zstd' : 'zlib',
    )
    expect(json<{ compressed: boolean }[]>('map', path).some((extent) => extent.compressed)).toBe(true)
  })
})

describe('to plain clusters and to a raw file', () => {
  it.each([
    ['plain', {}],
    ['small', { clusterSize: 512 }],
    ['old', { version: 2 }],
    ['divided', { extendedL2: true }],
    ['raw', { format: 'raw' }],
  ] as const)('%s: QEMU finds the same disk', async (name, options) => {
    const from = made('source.qcow2', bytes, '-c')
    const image = await Qcow2.open(nodeFile(from))
    await converted(image, from, name, options)
    await image.close()
  })

  it('an encrypted image is made', async () => {
    const path = save('plain.raw', bytes)
    await convert(nodeFile(path), target('secret.qcow2'), {
      sourceFormat: 'raw',
      encryption: { passphrase, iterations: 1000 },
    })
    expect(difference(decrypted('secret.qcow2'), bytes)).toBe(-1)
  })
})

describe('every kind of source', () => {
  it('an image is known by its first bytes, and is not read as a raw disk', async () => {
    const from = made('probed.qcow2', bytes, '-c')
    await converted(nodeFile(from), from, 'probed-again.qcow2', {})
  })

  it('another format is refused by name, and what could be raw has to be called so', async () => {
    const vmdk = file('other.vmdk')
    qemuImg('create', '-q', '-f', 'vmdk', vmdk, '1M')
    const to = memory()
    const refused = await convert(nodeFile(vmdk), to).catch((error: Qcow2Error) => error)
    expect(refused).toMatchObject({ code: 'NOT_QCOW2', reason: expect.stringMatching(/VMDK/) })
    const unnamed = await convert(memory(bytes), to).catch((error: Qcow2Error) => error)
    expect(unnamed).toMatchObject({ code: 'NOT_QCOW2', reason: expect.stringMatching(/ sourceFormat: 'raw'/) })
    expect(to.size()).toBe(0)
  })

  it('a part of a disk, and a VM state', async () => {
    const image = await Qcow2.create(memory(), { size: 4 * MiB })
    await image.write(MiB, bytes.subarray(0, MiB))
    await image.snapshots.create('with a state', { vmState: bytes.subarray(0, 700) })
    await convert(image.slice(MiB, MiB), target('part.raw'), { format: 'raw' })
    expect(difference(readFileSync(file('part.raw')), bytes.subarray(0, MiB))).toBe(-1)
    const snapshot = await image.snapshots.open('with a state')
    await convert(snapshot.vmState, target('state.qcow2'))
    expect(difference(disk('state.qcow2').subarray(0, 700), bytes.subarray(0, 700))).toBe(-1)
    await snapshot.close()
    await image.close()
  })

  it('a raw disk, also one that does not end with a sector', async () => {
    const odd = save('odd.raw', bytes.subarray(0, 100_001))
    await convert(nodeFile(odd), target('odd.qcow2'), { sourceFormat: 'raw', compressed: true })
    expect(difference(disk('odd.qcow2').subarray(0, 100_001), bytes.subarray(0, 100_001))).toBe(-1)
    expect(check('odd.qcow2')).toBe('clean')
  })

  it('an image with a backing file, and a snapshot of it', async () => {
    made('base.qcow2', bytes)
    const top = create('top.qcow2', size, '-b', 'base.qcow2', '-F', 'qcow2')
    qemuIo(top, 'write -P 0x11 1M 100k', 'write -z 3M 1M')
    const before = disk(top)
    qemuImg('snapshot', '-c', 'one', 'top.qcow2')
    qemuIo(top, 'write -P 0x22 0 2M')
    const image = await Qcow2.open(nodeFile(top), { backing: nodeFile(file('base.qcow2')) })
    const whole = await converted(image, top, 'whole.qcow2', { compressed: true })
    expect(json<{ 'backing-filename'?: string }>('info', whole)['backing-filename']).toBeUndefined()
    const snapshot = await image.snapshots.open('one')
    await convert(snapshot, target('snapshot.raw'), { format: 'raw' })
    expect(difference(readFileSync(file('snapshot.raw')), before)).toBe(-1)
    await snapshot.close()
    await image.close()
  })

  it('an empty disk, and one of no bytes', async () => {
    for (const size of [0, 64 * MiB]) {
      const source = await Qcow2.create(memory(), { size })
      await convert(source, target(`empty-${size}.qcow2`), { compressed: true })
      expect(check(`empty-${size}.qcow2`)).toBe('clean')
      expect(json<{ 'virtual-size': number }>('info', file(`empty-${size}.qcow2`))['virtual-size']).toBe(size)
      await source.close()
    }
  })
})

it('a range becomes a disk that begins at its first byte', async () => {
  const [offset, length] = [3 * 512, 2 * MiB + 70_000]
  const from = made('whole.qcow2', bytes)
  for (const format of ['raw', 'qcow2'] as const) {
    await convert(nodeFile(from), target(`range.${format}`), { range: { offset, length }, format })
    const expected = new Uint8Array(Math.ceil(length / 512) * 512)
    expected.set(bytes.subarray(offset, offset + length))
    const found = format === 'raw' ? readFileSync(file('range.raw')) : disk('range.qcow2')
    expect(difference(new Uint8Array(found), expected)).toBe(-1)
  }
  const outside = convert(nodeFile(from), target('outside.raw'), { range: { offset: size, length: 1 }, format: 'raw' })
  await expect(outside).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
})

it('zeros take no room, however the source has them', async () => {
  const zeros = new Uint8Array(32 * MiB)
  zeros[20 * MiB] = 1
  const path = save('zeros.raw', zeros)
  for (const [name, options] of [
    ['compressed', { compressed: true }],
    ['plain', {}],
    ['raw', { format: 'raw' }],
  ] as const) {
    await convert(nodeFile(path), target(`zeros-${name}`), { sourceFormat: 'raw', ...options })
    expect(allocated(file(`zeros-${name}`)), name).toBeLessThan(MiB)
  }
})

it('progress is reported up to the end', async () => {
  const told: number[] = []
  const source = await raw(bytes)
  await convert(source, memory(), { onProgress: ({ done, total }) => told.push(done / total) })
  expect([told[0], told.at(-1), told.length > 4]).toEqual([0, 1, true])
  expect(told).toEqual([...told].sort((one, other) => one - other))
})

describe('what ends early', () => {
  it('leaves the target empty, and both storages free', async () => {
    const stop = new AbortController()
    const sourceFormat = 'raw'
    const [from, to] = [memory(bytes), memory()]
    const enough = new Error('enough')
    const onProgress = ({ done }: { done: number }) => done > MiB && stop.abort(enough)
    await expect(convert(from, to, { sourceFormat, compressed: true, signal: stop.signal, onProgress })).rejects.toBe(
      enough,
    )
    expect(to.size()).toBe(0)
    await convert(from, to, { sourceFormat })
    const image = await Qcow2.open(to)
    expect(difference(await image.read(0, size), bytes)).toBe(-1)
    await image.close()
  })

  it('by an exception of onProgress comes out as that', async () => {
    const enough = new Error('enough')
    const onProgress = () => {
      throw enough
    }
    await expect(convert(memory(bytes), memory(), { sourceFormat: 'raw', onProgress })).rejects.toBe(enough)
  })

  it('because a storage fails reports that', async () => {
    const failing = { size: () => size, read: () => Promise.reject(new Error('gone')) }
    for (const format of ['qcow2', 'raw'] as const) {
      const to = memory()
      await expect(convert(failing, to, { sourceFormat: 'raw', format })).rejects.toMatchObject({
        code: 'STORAGE',
        cause: { message: 'gone' },
      })
      expect(to.size()).toBe(0)
    }
    const full = Object.assign(memory(), {
      writeSync() {
        throw new DOMException('full', 'QuotaExceededError')
      },
    })
    expect(await code(convert(memory(bytes), full, { sourceFormat: 'raw', format: 'raw' }))).toBe('QUOTA')
  })

  it('because a cluster of the source is corrupt reports where', async () => {
    const path = made('damaged.qcow2', bytes, '-c')
    const [extent] = json<{ compressed: boolean; start: number }[]>('map', path).filter(({ compressed }) => compressed)
    const image = await Qcow2.open(nodeFile(path))
    const { hostOffset } = (await image.locate(extent?.start ?? 0)) as { hostOffset?: number }
    await image.close()
    const damaged = readFileSync(path)
    damaged.fill(0xff, hostOffset, (hostOffset ?? 0) + 100)
    const broken = await Qcow2.open(memory(damaged))
    const to = memory()
    expect(await code(convert(broken, to, { compressed: true }))).toBe('CORRUPT_COMPRESSED_CLUSTER')
    expect(to.size()).toBe(0)
    await broken.close()
  })
})

it('what can’t be asked for is refused, and the target stays as it is', async () => {
  const to = () => memory(new Uint8Array(512))
  const cases: [string, ConvertOptions][] = [
    ['NOT_EMPTY', {}],
    ['NOT_EMPTY', { compressed: true }],
    ['NOT_EMPTY', { format: 'raw' }],
    ['INVALID_ARGUMENT', { format: 'raw', compressed: true }],
    ['INVALID_ARGUMENT', { format: 'vmdk' as never }],
    ['INVALID_ARGUMENT', { compressed: true, workers: 2 }],
    ['INVALID_ARGUMENT', { workers: -1 }],
    ['NO_COMPRESSION', { compressed: true, encryption: { passphrase } }],
    ['BAD_OPTIONS', { clusterSize: 1000, overwrite: true }],
    ['BAD_OPTIONS', { compressed: true, compression: 'zstd', version: 2, overwrite: true }],
  ]
  for (const [expected, options] of cases) {
    const storage = to()
    expect(
      await code(convert(memory(bytes), storage, { sourceFormat: 'raw', ...options })),
      JSON.stringify(options),
    ).toBe(expected)
    expect(storage.size()).toBe(512)
  }
  expect(await code(convert(5 as never, memory()))).toBe('INVALID_ARGUMENT')
  expect(await code(convert(await raw(bytes), readOnly(bytes) as never, { format: 'raw' }))).toBe('READ_ONLY')
  const both = memory()
  expect(await code(convert(both, both, { sourceFormat: 'raw' }))).toBe('IN_USE')
  await convert(memory(bytes), to(), { sourceFormat: 'raw', overwrite: true, format: 'raw' })
})
