import { chmodSync, lstatSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { convert, inspect, memory, nodeFile, Qcow2, raw } from '../../src/js/index.js'
import { contents, difference, file, convert as make, qemuImg } from './helpers/qemu.js'

const MiB = 1024 * 1024
const clusterSize = 65536
/** Bytes that zlib makes smaller. */
const disk = contents(2 * MiB, 5).map((byte, at) => (at % 3 === 0 ? byte : 7))
const whole = readFileSync(make('whole.qcow2', disk))
const packed = readFileSync(make('packed.qcow2', disk, '-c'))

/** A compressed image of which one cluster is damaged. */
async function damaged(cluster: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(packed)
  await using image = await Qcow2.open(memory(packed))
  const { hostOffset = 0, compressedLength = 0 } = await image.locate(cluster * clusterSize)
  bytes.fill(0xff, hostOffset, hostOffset + Math.min(compressedLength, 1000))
  return bytes
}

/** An image whose L2 entry of a cluster has bits that it must not have. */
async function withBadEntry(cluster: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(whole)
  await using image = await Qcow2.open(memory(whole))
  const { l2EntryOffset = 0 } = await image.locate(cluster * clusterSize)
  bytes[l2EntryOffset + 6] = 0xff
  return bytes
}

/** The disk with zeros in a range. */
function without(offset: number, length: number): Uint8Array {
  return new Uint8Array(disk).fill(0, offset, offset + length)
}

async function diskOf(image: Uint8Array): Promise<Uint8Array> {
  await using opened = await Qcow2.open(memory(image))
  return opened.read(0, opened.size)
}

describe('an image with a corrupt compressed cluster', () => {
  it('ends a conversion', async () => {
    const target = memory()
    const converting = convert(memory(await damaged(5)), target)
    await expect(converting).rejects.toMatchObject({ code: 'CORRUPT_COMPRESSED_CLUSTER' })
    expect(target.size()).toBe(0)
  })

  it.each([false, true])('is salvaged except that cluster, as by QEMU; compressed: %s', async (compressed) => {
    const source = await damaged(5)
    const target = memory()
    const told: number[] = []
    const how = { salvage: true, compressed, onUnreadable: (offset: number) => told.push(offset) }
    const { unreadable, unreadableBytes } = await convert(memory(source), target, how)
    expect(unreadable).toEqual([
      {
        offset: 5 * clusterSize,
        length: clusterSize,
        error: expect.objectContaining({ code: 'CORRUPT_COMPRESSED_CLUSTER' }),
      },
    ])
    expect([unreadableBytes, told.length, told[0]]).toEqual([clusterSize, 128, 5 * clusterSize])
    const salvaged = await diskOf(target.bytes())
    expect(difference(salvaged, without(5 * clusterSize, clusterSize))).toBe(-1)
    writeFileSync(file('damaged.qcow2'), source)
    qemuImg('convert', '--salvage', '-O', 'raw', 'damaged.qcow2', 'salvaged.raw')
    expect(difference(salvaged, readFileSync(file('salvaged.raw')))).toBe(-1)
  })
})

describe('a conversion that overwrites a file', () => {
  const target = () => nodeFile(file('old.qcow2'))
  const inFolder = () => readdirSync(dirname(file('old.qcow2'))).filter((name) => name.startsWith('old'))

  it.each([{}, { format: 'raw' as const }, { compressed: true }])(
    'leaves it as it was if it fails midway: %o',
    async (how) => {
      writeFileSync(file('old.qcow2'), whole)
      const converting = convert(memory(await damaged(20)), target(), { overwrite: true, ...how })
      await expect(converting).rejects.toMatchObject({ code: 'CORRUPT_COMPRESSED_CLUSTER' })
      expect(difference(readFileSync(file('old.qcow2')), whole)).toBe(-1)
      expect(inFolder()).toEqual(['old.qcow2'])
      // It is free again.
      await convert(memory(whole), target(), { overwrite: true })
    },
  )

  it('leaves it as it was if the options do not fit together, or the file is in use', async () => {
    writeFileSync(file('old.qcow2'), whole)
    await using image = await Qcow2.open(target(), { writable: true })
    const inUse = convert(memory(packed), target(), { overwrite: true })
    await expect(inUse).rejects.toMatchObject({ code: 'IN_USE' })
    await image.close()
    const bad = convert(memory(packed), target(), { overwrite: true, clusterSize: 1000 })
    await expect(bad).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    expect(difference(readFileSync(file('old.qcow2')), whole)).toBe(-1)
    expect(inFolder()).toEqual(['old.qcow2'])
  })

  it('takes its place, with its permissions, also where the path is a link', async () => {
    writeFileSync(file('old.qcow2'), whole)
    chmodSync(file('old.qcow2'), 0o640)
    symlinkSync(file('old.qcow2'), file('link.qcow2'))
    const link = nodeFile(file('link.qcow2'))
    await convert(memory(disk), link, { overwrite: true, format: 'raw', sourceFormat: 'raw' })
    expect(difference(readFileSync(file('old.qcow2')), disk)).toBe(-1)
    expect(lstatSync(file('link.qcow2')).isSymbolicLink()).toBe(true)
    expect(lstatSync(file('old.qcow2')).mode & 0o777).toBe(0o640)
    expect(inFolder()).toEqual(['old.qcow2'])
  })
})

it('decompresses a corrupt cluster a few times, and not once for each of its sectors', async () => {
  await using image = await Qcow2.open(memory(await damaged(5)))
  const { unreadableBytes } = await convert(image, memory(), { salvage: true, format: 'raw' })
  expect(unreadableBytes).toBe(clusterSize)
  // Each half of 1 MiB down to the cluster, and what is beside it; then the other parts of the disk.
  expect((await image.statistics()).reads).toBeLessThan(20)
})

describe('an image with a corrupt table', () => {
  it('leaves the target of a conversion as it was', async () => {
    const before = new Uint8Array(whole)
    const target = memory(before)
    const converting = convert(memory(await withBadEntry(9)), target, { overwrite: true })
    await expect(converting).rejects.toMatchObject({ code: 'CORRUPT_L2_ENTRY' })
    expect(difference(target.bytes(), whole)).toBe(-1)
  })

  it('is salvaged except what the entry maps', async () => {
    const target = memory()
    const { unreadable } = await convert(memory(await withBadEntry(9)), target, { salvage: true, format: 'raw' })
    expect(unreadable.map(({ offset, length }) => [offset, length])).toEqual([[9 * clusterSize, clusterSize]])
    expect(difference(target.bytes(), without(9 * clusterSize, clusterSize))).toBe(-1)
  })
})

it('salvages a disk whose storage fails in places', async () => {
  const bytes = disk
  const [from, to] = [300 * 1024 + 512, 301 * 1024]
  const storage = {
    size: () => bytes.length,
    read: async (offset: number, length: number) => {
      if (offset < to && offset + length > from) throw new Error('a bad sector')
      return bytes.slice(offset, offset + length)
    },
  }
  const target = memory()
  const { unreadable } = await convert(await raw(storage), target, { salvage: true, format: 'raw' })
  expect(unreadable).toMatchObject([{ offset: from, length: 512, error: { code: 'STORAGE' } }])
  expect(difference(target.bytes(), without(from, 512))).toBe(-1)
})

describe('an image whose file is cut off', () => {
  const cut = (() => {
    writeFileSync(file('cut.qcow2'), whole)
    truncateSync(file('cut.qcow2'), whole.length - 3 * clusterSize)
    return readFileSync(file('cut.qcow2'))
  })()

  it('reports how much is missing', async () => {
    await using image = await Qcow2.open(memory(cut))
    expect((await image.info()).missing).toBe(3 * clusterSize)
    expect((await inspect(memory(cut))).missing).toBe(3 * clusterSize)
    const report = await image.check()
    expect(report.findings.filter(({ code }) => code === 'CUT_OFF' || code === 'PAST_END').length).toBe(1)
  })

  it('is refused by a conversion, before the target is touched', async () => {
    const target = memory(whole)
    const converting = convert(memory(cut), target, { overwrite: true })
    await expect(converting).rejects.toMatchObject({ code: 'TRUNCATED', kind: 'corrupt' })
    expect(difference(target.bytes(), whole)).toBe(-1)
  })

  it.each([{ acceptMissing: true }, { salvage: true }])('is converted where that is accepted: %o', async (how) => {
    const target = memory()
    await convert(memory(cut), target, how)
    expect(difference(await diskOf(target.bytes()), await diskOf(cut))).toBe(-1)
  })
})
