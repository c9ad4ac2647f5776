import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  type AsyncStorage,
  amend,
  type BackingRequest,
  type DataFileRequest,
  inspect,
  memory,
  nodeFile,
  type OpenOptions,
  overlay,
  Qcow2,
  Qcow2Error,
  raw,
} from '../../src/js/index.js'
import { create, file, qemuImg, qemuIo } from './helpers/qemu.js'
import { CountedStorage } from './helpers/storages.js'

const KiB = 1024

// base.raw ← middle.qcow2 (without a recorded format for its backing file) ← top.qcow2
writeFileSync(file('base.raw'), new Uint8Array(256 * KiB).fill(1))
create('middle.qcow2', '512k', '-b', 'base.raw', '-F', 'raw')
qemuIo(file('middle.qcow2'), 'write -P 2 64k 64k')
create('top.qcow2', '512k', '-b', 'middle.qcow2', '-F', 'qcow2')
qemuIo(file('top.qcow2'), 'write -P 3 0 64k')

const opened = (name: string) => new CountedStorage(readFileSync(file(name)))
const open = (options: OpenOptions, name = 'top.qcow2') => Qcow2.open(opened(name), options)

/** The first byte of each of the first five clusters. */
async function clusters(image: Qcow2): Promise<number[]> {
  const bytes = await image.read(0, 320 * KiB)
  return [0, 1, 2, 3, 4].map((cluster) => bytes[cluster * 64 * KiB] ?? -1)
}

const whole = [3, 2, 1, 1, 0]

describe('backing files', () => {
  it('are given by position', async () => {
    await using image = await open({ backing: [opened('middle.qcow2'), opened('base.raw')] })
    expect(await clusters(image)).toEqual(whole)
    expect((await image.info()).chain.map(({ format }) => format)).toEqual(['qcow2', 'qcow2', 'raw'])
  })

  it('are given as one storage, where there is one', async () => {
    await using image = await open({ backing: opened('base.raw') }, 'middle.qcow2')
    expect(await clusters(image)).toEqual([1, 2, 1, 1, 0])
  })

  it('may be disks, where only the caller can read their format', async () => {
    qemuImg('convert', '-f', 'raw', '-O', 'vmdk', 'base.raw', 'base.vmdk')
    create('foreign.qcow2', '512k', '-b', 'base.vmdk', '-F', 'vmdk')
    qemuIo(file('foreign.qcow2'), 'write -P 3 0 64k')
    await using content = await raw(nodeFile(file('base.raw')))
    await using image = await open({ backing: () => content }, 'foreign.qcow2')
    expect(await clusters(image)).toEqual([3, 1, 1, 1, 0])
    await using named = await open({ backing: () => ({ storage: content, name: 'base.raw' }) }, 'foreign.qcow2')
    expect(await clusters(named)).toEqual([3, 1, 1, 1, 0])
    // A file is not its contents: its format is still refused.
    const bytes = open({ backing: () => nodeFile(file('base.vmdk')) }, 'foreign.qcow2')
    await expect(bytes).rejects.toMatchObject({ code: 'UNSUPPORTED_BACKING_FORMAT' })
    // In a known format, a disk is a file like any other.
    const backing = async ({ name }: BackingRequest) => raw(nodeFile(file(name)))
    await using inside = await open({ backing })
    expect(await clusters(inside)).toEqual(whole)
  })

  it('are asked for with what the image records', async () => {
    const requests: BackingRequest[] = []
    const backing = async (request: BackingRequest) => {
      requests.push(request)
      return nodeFile(file(request.name))
    }
    await using image = await open({ backing })
    expect(await clusters(image)).toEqual(whole)
    expect(requests).toEqual([
      { name: 'middle.qcow2', format: 'qcow2', depth: 1 },
      { name: 'base.raw', format: 'raw', depth: 2 },
    ])
  })

  it('are done without, if that is said', async () => {
    await using image = await open({ backing: null })
    expect(await clusters(image)).toEqual([3, 0, 0, 0, 0])
    await using upper = await open({ backing: ({ depth }) => (depth === 1 ? opened('middle.qcow2') : null) })
    expect(await clusters(upper)).toEqual([3, 2, 0, 0, 0])
  })

  it.each<[string, OpenOptions, number | undefined, string]>([
    ['the first of them', {}, undefined, 'middle.qcow2'],
    ['the second of them', { backing: [opened('middle.qcow2')] }, 1, 'base.raw'],
    ['one that the resolver does not know', { backing: () => undefined }, undefined, 'middle.qcow2'],
  ])('that are missing are named: %s', async (_, options, depth, name) => {
    const error = await open(options).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(Qcow2Error)
    expect(error).toMatchObject({ code: 'MISSING_BACKING_FILE', file: { name } })
    expect(error.depth).toBe(depth)
    expect(error.message).toContain(name)
  })

  it('can be of another format than is recorded', async () => {
    const raw = { storage: opened('middle.qcow2'), format: 'raw' as const }
    await using image = await open({ backing: [raw] })
    const bytes = await image.read(64 * KiB, 4)
    expect(bytes).toEqual(new Uint8Array(readFileSync(file('middle.qcow2')).subarray(64 * KiB, 64 * KiB + 4)))
  })

  it('are not looked for by a program of another mind', async () => {
    await expect(open({ backing: { storage: opened('base.raw'), format: 'vmdk' as 'raw' } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    await expect(open({ backing: 5 as unknown as null })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(open({ backing: [{} as AsyncStorage] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('of the wrong kind are refused at their depth', async () => {
    await expect(open({ backing: opened('base.raw') })).rejects.toMatchObject({ code: 'NOT_QCOW2', depth: 1 })
  })

  it('whose resolver throws end the opening with what it threw', async () => {
    const cause = new Error('asked and refused')
    const backing = () => Promise.reject(cause)
    const error = await open({ backing }).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'STORAGE' })
    expect(error.cause).toBe(cause)
    const own = new Qcow2Error('INVALID_ARGUMENT', 'Not this one.')
    expect(
      await open({
        backing: () => {
          throw own
        },
      }).catch((thrown) => thrown),
    ).toBe(own)
  })

  it('are closed with the image, and when opening fails', async () => {
    const chain = [opened('top.qcow2'), opened('middle.qcow2'), opened('base.raw')]
    const [top, middle, base] = chain as [CountedStorage, CountedStorage, CountedStorage]
    const image = await Qcow2.open(top, { backing: [middle, base] })
    await image.close()
    expect(chain.map(({ closed }) => closed)).toEqual([1, 1, 1])
    await expect(Qcow2.open(top, { backing: [middle] })).rejects.toThrow()
    // The third was never given.
    expect(chain.map(({ closed }) => closed)).toEqual([2, 2, 1])
  })

  it('that are synchronous all of them can be read synchronously', async () => {
    const sync = (name: string) => memory(readFileSync(file(name)))
    await using image = await Qcow2.open(sync('top.qcow2'), { backing: [sync('middle.qcow2'), sync('base.raw')] })
    expect(image.sync).toBe(true)
    expect(image.readSync(128 * KiB, 1)).toEqual(Uint8Array.of(1))
    await using mixed = await Qcow2.open(sync('top.qcow2'), { backing: [sync('middle.qcow2'), opened('base.raw')] })
    expect(mixed.sync).toBe(false)
    // Even of what is at hand: else it would depend on the data whether it works.
    expect(() => mixed.readSync(0, 1)).toThrow(/NOT_SYNC/)
  })
})

describe('an external data file', () => {
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'data_file=data.bin,data_file_raw=on', 'outer.qcow2', '256k')
  qemuIo(file('outer.qcow2'), 'write -P 4 64k 64k')
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'outer.qcow2', '-F', 'qcow2', 'over.qcow2')

  it('is given', async () => {
    const data = opened('data.bin')
    const image = await open({ dataFile: data }, 'outer.qcow2')
    expect(await clusters(image).catch(() => image.read(64 * KiB, 1))).toEqual(Uint8Array.of(4))
    await image.close()
    expect(data.closed).toBe(1)
  })

  it('that is missing is named', async () => {
    await expect(open({}, 'outer.qcow2')).rejects.toMatchObject({
      code: 'MISSING_DATA_FILE',
      file: { name: 'data.bin' },
    })
  })

  it('that is not needed is left alone', async () => {
    await using image = await open({ dataFile: opened('data.bin'), backing: null })
    expect(image.size).toBeGreaterThan(0)
  })

  it('has the same form in opening as in creation', async () => {
    const plain = memory()
    await using created = await Qcow2.create(memory(), { size: 64 * KiB, dataFile: plain })
    await created.write(0, Uint8Array.of(9))
    await created.flush()
    expect(plain.bytes()[0]).toBe(9)
    const dataFile = { storage: opened('data.bin'), name: 'data.bin', raw: true }
    for (const form of [dataFile, () => dataFile]) {
      await using image = await open({ dataFile: form }, 'outer.qcow2')
      expect(await image.read(64 * KiB, 1)).toEqual(Uint8Array.of(4))
    }
  })

  it('of a backing file, or of the base of an overlay, is supplied by a function that is given its name', async () => {
    const asked: DataFileRequest[] = []
    const dataFile = (request: DataFileRequest) => {
      asked.push(request)
      return { storage: opened('data.bin') }
    }
    await using image = await open({ backing: { storage: opened('outer.qcow2'), dataFile } }, 'over.qcow2')
    expect(await image.read(64 * KiB, 1)).toEqual(Uint8Array.of(4))
    expect(asked).toEqual([{ name: 'data.bin' }])
    await using above = await overlay(opened('outer.qcow2'), memory(), { dataFile })
    expect(await above.read(64 * KiB, 1)).toEqual(Uint8Array.of(4))
    expect(asked.every(({ name }) => name === 'data.bin')).toBe(true)
    const never = () => expect.unreachable()
    const backing = [{ storage: opened('middle.qcow2'), dataFile: never }, opened('base.raw')]
    await using plain = await open({ backing }, 'top.qcow2')
    expect(plain.size).toBeGreaterThan(0)
  })

  it('of a new image is supplied by a function, without which nothing is written', async () => {
    const [target, data] = [memory(), memory()]
    const asked: DataFileRequest[] = []
    const dataFile = (request: DataFileRequest) => {
      asked.push(request)
      return { storage: data, name: 'made.bin', raw: true }
    }
    await using created = await Qcow2.create(target, { size: 64 * KiB, dataFile })
    expect(asked).toEqual([{ name: undefined }])
    expect(await created.info()).toMatchObject({ dataFile: 'made.bin', dataFileRaw: true })
    await created.write(0, Uint8Array.of(7))
    await created.flush()
    expect(data.bytes()[0]).toBe(7)
    const untouched = memory()
    await expect(Qcow2.create(untouched, { size: 64 * KiB, dataFile: () => null })).rejects.toMatchObject({
      code: 'MISSING_DATA_FILE',
    })
    expect(untouched.bytes().length).toBe(0)
  })

  it('and a backing file have the same form in amend as in creation', async () => {
    const target = memory()
    const dataFile = { storage: memory(), name: 'old.bin' }
    await (await Qcow2.create(target, { size: 64 * KiB, dataFile })).close()
    const backing = { name: 'base.raw', format: 'raw', storage: opened('base.raw') } as const
    await amend(target, { dataFile: { ...dataFile, name: 'new.bin' }, backing })
    expect(await inspect(target)).toMatchObject({ dataFile: 'new.bin', backingFile: 'base.raw' })
  })

  it.each(['middle.qcow2', 'base.raw'])('that a backing file does not need is not opened: %s', async (name) => {
    const data = opened('data.bin')
    const over = name === 'base.raw' ? 'middle.qcow2' : 'top.qcow2'
    const backing = [{ storage: opened(name), dataFile: data }, opened('base.raw')]
    await using image = await open({ backing }, over)
    expect((await clusters(image)).slice(2, 4)).toEqual([1, 1])
    expect([data.requests, data.closed]).toEqual([0, 0])
  })

  it('of a backing file is given with it', async () => {
    const backing = { storage: opened('outer.qcow2'), dataFile: opened('data.bin') }
    await using image = await open({ backing }, 'over.qcow2')
    expect(await image.read(64 * KiB, 1)).toEqual(Uint8Array.of(4))
    await expect(open({ backing: opened('outer.qcow2') }, 'over.qcow2')).rejects.toMatchObject({
      code: 'MISSING_DATA_FILE',
      depth: 1,
      file: { name: 'data.bin' },
    })
  })
})
