import { readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import {
  type Extent,
  type ImageInfo,
  memory,
  nodeFile,
  type Progress,
  Qcow2,
  type Snapshot,
} from '../../src/js/index.js'
import { contents, convert, create, disk, json, qemuImg, qemuIo } from './helpers/qemu.js'
import { CountedStorage } from './helpers/storages.js'

const MiB = 1024 * 1024

interface QemuInfo {
  'virtual-size': number
  'cluster-size': number
  'backing-filename'?: string
  'backing-filename-format'?: string
  snapshots?: Record<string, number | string>[]
  'format-specific': { data: Record<string, unknown> }
}

/** What `info()` says, in the words of `qemu-img info`. */
function inQemuWords(info: ImageInfo, snapshots: readonly Snapshot[]): QemuInfo {
  const { bitmaps } = info
  return {
    'virtual-size': info.virtualSize,
    'cluster-size': info.clusterSize,
    ...(info.backingFile && { 'backing-filename': info.backingFile }),
    ...(info.backingFormat && { 'backing-filename-format': info.backingFormat }),
    ...(snapshots.length > 0 && {
      snapshots: snapshots.map((each) => ({
        id: each.id,
        name: each.name,
        'date-sec': each.dateSec,
        'date-nsec': each.dateNsec,
        'vm-clock-sec': Number(each.vmClockNsec / 1_000_000_000n),
        'vm-clock-nsec': Number(each.vmClockNsec % 1_000_000_000n),
        'vm-state-size': each.vmStateSize,
        ...(each.icount !== undefined && { icount: Number(each.icount) }),
      })),
    }),
    'format-specific': {
      data: {
        compat: info.compat,
        'refcount-bits': info.refcountBits,
        'compression-type': info.compressionType,
        ...(info.version >= 3 && {
          'lazy-refcounts': info.lazyRefcounts,
          'extended-l2': info.extendedL2,
          corrupt: info.corrupt,
        }),
        ...(info.externalDataFile && { 'data-file': info.dataFile, 'data-file-raw': info.dataFileRaw }),
        ...(bitmaps.length > 0 && {
          bitmaps: bitmaps.map(({ name, granularity, auto, inUse }) => ({
            name,
            granularity,
            flags: [...(inUse ? ['in-use'] : []), ...(auto ? ['auto'] : [])],
          })),
        }),
      },
    },
  }
}

/** The same members of what `qemu-img info` says. */
function relevant(info: QemuInfo): QemuInfo {
  const { 'virtual-size': virtualSize, 'cluster-size': clusterSize } = info
  const name = info['backing-filename']
  const format = info['backing-filename-format']
  return {
    'virtual-size': virtualSize,
    'cluster-size': clusterSize,
    ...(name && { 'backing-filename': name }),
    ...(format && { 'backing-filename-format': format }),
    ...(info.snapshots && { snapshots: info.snapshots }),
    'format-specific': { data: info['format-specific'].data },
  }
}

const bytes = contents(5 * MiB, 21)
const base = convert('base.qcow2', bytes)
const images: Record<string, () => string> = {
  plain: () => convert('plain.qcow2', bytes),
  version2: () => convert('version2.qcow2', bytes, '-o', 'compat=0.10'),
  'deflate, small clusters': () => convert('deflate.qcow2', bytes, '-c', '-o', 'cluster_size=4k'),
  zstd: () => convert('zstd.qcow2', bytes, '-c', '-o', 'compression_type=zstd'),
  'subclusters, wide references, late references': () =>
    convert('wide.qcow2', bytes, '-o', 'extended_l2=on,lazy_refcounts=on,refcount_bits=64'),
  bitmaps: () => {
    const path = convert('bitmaps.qcow2', bytes)
    qemuImg('bitmap', '--add', '-g', '128k', path, 'first')
    qemuImg('bitmap', '--add', '--disable', path, 'zweite äöü')
    return path
  },
  snapshots: () => {
    const path = convert('snapshots.qcow2', bytes)
    qemuImg('snapshot', '-c', 'one', path)
    qemuIo(path, 'write -P 5 1M 1M', 'discard 2M 1M', 'write -z 3M 64k')
    qemuImg('snapshot', '-c', 'two', path)
    return path
  },
  overlay: () => {
    const path = create('overlay.qcow2', '8M', '-b', base, '-F', 'qcow2')
    qemuIo(path, 'write -P 9 64k 100k', 'write -z 1M 1M', 'discard 6M 1M')
    return path
  },
}

describe.each(Object.entries(images))('%s', (name, make) => {
  const path = make()
  const backing = name === 'overlay' ? nodeFile(base) : undefined

  it('info() reports what qemu-img reports', async () => {
    await using image = await Qcow2.open(nodeFile(path), { backing })
    const info = await image.info()
    expect(inQemuWords(info, await image.snapshots.list())).toEqual(relevant(json<QemuInfo>('info', path)))
    expect(info.fileSize).toBe(readFileSync(path).length)
    expect(info.chain.length).toBe(backing ? 2 : 1)
    expect(Object.values(info)).not.toContain(Number.NaN)
  })

  it('map() reports what qemu-img reports', async () => {
    await using image = await Qcow2.open(nodeFile(path), { backing })
    expect(await map(image)).toEqual(json<unknown[]>('map', path))
  })

  it('map() over memory reports the same', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)), { backing })
    expect(await map(image)).toEqual(json<unknown[]>('map', path))
  })
})

async function map(image: Qcow2): Promise<unknown[]> {
  const extents: unknown[] = []
  for await (const { offset, ...extent } of image.map()) {
    extents.push(offset === undefined ? extent : { ...extent, offset })
  }
  return extents
}

describe('map()', () => {
  const path = create('holes.qcow2', '64M', '-o', 'cluster_size=512')
  const holes = Array.from({ length: 3000 }, (_, index) => `write -P 1 ${index * 20 * 1024} 512`)
  qemuIo(path, ...holes)

  it('walks a part of the disk, clipped to it', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    const extents: Extent[] = []
    for await (const extent of image.map({ offset: 100, length: 20 * 1024 })) extents.push(extent)
    expect(extents.map(({ start, length, data }) => [start, length, data])).toEqual([
      [100, 412, true],
      [512, 20 * 1024 - 512, false],
      [20 * 1024, 100, true],
    ])
  })

  it('reports its progress', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    const progress: Progress[] = []
    let count = 0
    for await (const _ of image.map({ onProgress: (each) => progress.push(each) })) count += 1
    expect(count).toBe(6000)
    expect(progress.length).toBeGreaterThan(10)
    expect(progress.at(-1)).toEqual({ done: 64 * MiB, total: 64 * MiB })
    expect(progress.map(({ done }) => done)).toEqual(progress.map(({ done }) => done).toSorted((a, b) => a - b))
  })

  it('ends where its signal aborts', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    const controller = new AbortController()
    let count = 0
    const walk = async () => {
      for await (const _ of image.map({ signal: controller.signal })) {
        count += 1
        if (count === 700) controller.abort(new Error('enough'))
      }
    }
    await expect(walk()).rejects.toThrow('enough')
    expect(count).toBeLessThan(2000)
  })

  it.each([
    ['lets the event loop run after some time', 30, true],
    ['does not slow down for it before that', 0, false],
  ])('%s', async (_, milliseconds, expected) => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
      now += milliseconds
      return now
    })
    let turned = false
    setTimeout(() => {
      turned = true
    })
    for await (const _ of image.map());
    clock.mockRestore()
    expect(turned).toBe(expected)
  })

  it('can be left early', async () => {
    const storage = new CountedStorage(readFileSync(path))
    const image = await Qcow2.open(storage)
    for await (const _ of image.map()) break
    await image.close()
    expect(storage.closed).toBe(1)
  })

  it('fails when the image is closed meanwhile', async () => {
    const image = await Qcow2.open(nodeFile(path))
    const walk = async () => {
      for await (const _ of image.map()) await image.close()
    }
    await expect(walk()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('refuses a range that is not on the disk', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    expect(() => image.map({ offset: 64 * MiB, length: 1 })).toThrow(/OUT_OF_BOUNDS/)
    expect(() => image.map({ offset: 64 * MiB + 1 })).toThrow(/OUT_OF_BOUNDS/)
    expect(() => image.map({ offset: -1 })).toThrow(/INVALID_ARGUMENT/)
  })
})

describe('snapshots', () => {
  const path = create('views.qcow2', '4M')
  qemuIo(path, 'write -P 1 0 1M')
  qemuImg('snapshot', '-c', 'first', path)
  qemuIo(path, 'write -P 2 0 1M')
  qemuImg('snapshot', '-c', '1', path)
  qemuImg('resize', '-q', path, '8M')
  qemuIo(path, 'write -P 3 0 8M')

  it('are opened side by side, at their own size', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    expect((await image.snapshots.list()).map(({ id, name, diskSize }) => [id, name, diskSize])).toEqual([
      ['1', 'first', 4 * MiB],
      ['2', '1', 4 * MiB],
    ])
    await using first = await image.snapshots.open('first')
    await using second = await image.snapshots.open('2')
    expect([image.size, first.size, second.size]).toEqual([8 * MiB, 4 * MiB, 4 * MiB])
    const reads = [image, first, second].map((view) => view.read(MiB - 1, 2))
    expect(await Promise.all(reads)).toEqual([Uint8Array.of(3, 3), Uint8Array.of(1, 0), Uint8Array.of(2, 0)])
  })

  it('are looked up by id before name, as QEMU does', async () => {
    await using image = await Qcow2.open(memory(readFileSync(path)))
    await using view = await image.snapshots.open('1')
    expect(view.readSync(0, 1)).toEqual(Uint8Array.of(1))
  })

  it('that are not there are an error', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    await expect(image.snapshots.open('third')).rejects.toMatchObject({ code: 'NO_SUCH_SNAPSHOT' })
    await expect(image.snapshots.open(1 as unknown as string)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('outlive the image, whose storages are closed with the last handle', async () => {
    const storage = new CountedStorage(readFileSync(path))
    const image = await Qcow2.open(storage)
    const view = await image.snapshots.open('2')
    await image.close()
    expect(storage.closed).toBe(0)
    await expect(image.snapshots.open('2')).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await view.read(0, 1)).toEqual(Uint8Array.of(2))
    await view.close()
    expect(storage.closed).toBe(1)
  })

  it('cannot be changed', async () => {
    await using image = await Qcow2.open(nodeFile(path))
    const list = await image.snapshots.list()
    expect(() => (list as unknown[]).push(1)).toThrow(TypeError)
    expect(Object.isFrozen(list[0])).toBe(true)
  })

  it('have a VM state', async () => {
    const vm = create('vm.qcow2', '1M')
    qemuIo(vm, 'write -P 1 0 1M', 'write -b -P 6 0 128k', 'write -b -P 7 128k 64k')
    qemuImg('snapshot', '-c', 'running', vm)
    qemuIo(vm, 'write -P 2 0 1M', 'write -b -P 8 0 192k')
    // qemu-img takes snapshots of disks only: the table is told that this one has a state.
    const bytes = readFileSync(vm)
    bytes.writeBigUInt64BE(150_000n, Number(bytes.readBigUInt64BE(64)) + 40)

    await using image = await Qcow2.open(memory(bytes))
    expect(image.vmState.size).toBe(0)
    await using view = await image.snapshots.open('running')
    expect([view.size, view.vmState.size]).toEqual([MiB, 150_000])
    const state = await view.vmState.read(0, 150_000)
    expect([state[0], state[131_071], state[131_072], state.at(-1)]).toEqual([6, 6, 7, 7])
    expect(await view.vmState.read(131_071, 2)).toEqual(Uint8Array.of(6, 7))
    expect(await view.read(0, 1)).toEqual(Uint8Array.of(1))
    await expect(view.vmState.read(150_000, 1)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
    await expect(image.vmState.read(0, 1)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
  })
})

describe('locate()', () => {
  it('leads to the bytes', async () => {
    const path = convert('locate.qcow2', bytes)
    const expected = disk(path)
    const raw = readFileSync(path)
    await using image = await Qcow2.open(memory(raw))
    for (let offset = 0; offset < bytes.length; offset += 99_991) {
      const { kind, hostOffset, l2EntryOffset, l2Entry, l1EntryOffset, l1Entry } = await image.locate(BigInt(offset))
      if (kind === 'data') expect(raw[hostOffset ?? -1]).toBe(expected[offset])
      else expect(expected[offset]).toBe(0)
      expect(raw.readBigUInt64BE(l1EntryOffset)).toBe(l1Entry)
      if (l2EntryOffset !== undefined) expect(raw.readBigUInt64BE(l2EntryOffset)).toBe(l2Entry)
    }
    await expect(image.locate(bytes.length)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
  })

  it('shows the subclusters', async () => {
    const path = create('located.qcow2', '1M', '-o', 'extended_l2=on')
    qemuIo(path, 'write -P 1 2k 2k')
    await using image = await Qcow2.open(nodeFile(path))
    const { l2Bitmap, kind } = await image.locate(2048)
    expect([l2Bitmap, kind]).toEqual([2n, 'data'])
  })
})
