import { createHash } from 'node:crypto'
import { mkdirSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { memory, nodeFile, Qcow2, raw } from 'qcow2-web'
import { type FilesDisk, type Volume, volumes } from 'qcow2-web/files'
import { beforeAll, describe, expect, test } from 'vitest'
import { run } from './helpers/programs'
import { difference, file, qemuImg } from './helpers/qemu'

const MIB = 1024 * 1024
/** Longer than two windows of extents. */
const large = Uint8Array.from({ length: 19 * MIB + 4321 }, (_, index) => (index * 2_654_435_761) >>> 13)
/** Contents, a hole, and contents that end in the midst of a block. */
const sparse = new Uint8Array(13 * MIB + 77)
sparse.set(large.subarray(0, 2 * MIB), 0)
sparse.set(large.subarray(0, 3000), 9 * MIB - 1500)
sparse.set(large.subarray(0, 77), 13 * MIB)

beforeAll(() => {
  const root = file('contents.tree')
  mkdirSync(root)
  writeFileSync(join(root, 'large'), large)
  const holes = openSync(join(root, 'sparse'), 'w')
  for (const [start, length] of [
    [0, 2 * MIB],
    [9 * MIB - 1500, 3000],
    [13 * MIB, 77],
  ] as const) {
    writeSync(holes, sparse.subarray(start, start + length), 0, length, start)
  }
  run('truncate', ['-s', '64M', file('contents.raw')])
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', root, file('contents.raw')])
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', file('contents.raw'), 'contents.qcow2')
}, 120_000)

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function only(disk: FilesDisk, options = {}): Promise<Volume> {
  const [volume] = await volumes(disk, options)
  return volume as Volume
}

/** A disk with nothing but reads, which it records. */
function plain(bytes: Uint8Array) {
  const ranges: [number, number][] = []
  return {
    size: bytes.length,
    ranges,
    async read(offset: number, length: number) {
      ranges.push([offset, length])
      return Uint8Array.from(bytes.subarray(offset, offset + length))
    },
  }
}

const disks: [string, () => Promise<FilesDisk>][] = [
  ['a raw disk', () => raw(nodeFile(file('contents.raw')))],
  ['a compressed image', () => Qcow2.open(nodeFile(file('contents.qcow2')))],
  ['a disk in memory, which is read synchronously', () => raw(memory(readFileSync(file('contents.raw'))))],
  ['an object that can only read', async () => plain(readFileSync(file('contents.raw')))],
]

describe.each(disks)('large files of %s', (_, open) => {
  async function withVolume(body: (volume: Volume) => Promise<void>): Promise<void> {
    const disk = await open()
    const volume = await only(disk)
    try {
      await body(volume)
    } finally {
      volume.close()
      await (disk as Partial<Qcow2>).close?.()
    }
  }

  test('are read and streamed as they are', () =>
    withVolume(async (volume) => {
      for (const [path, expected] of [
        ['/large', large],
        ['/sparse', sparse],
      ] as const) {
        expect(sha256(await volume.read(path)), path).toBe(sha256(expected))
        expect(sha256(await buffer(await volume.readable(path))), path).toBe(sha256(expected))
        for (const [offset, length] of [
          [1, 9 * MIB],
          [8 * MIB - 1, 2],
          [8 * MIB - 5, 600_000],
          [2 * MIB - 100, 8 * MIB],
          [12 * MIB + 13, 30 * MIB],
        ] as const) {
          const part = expected.subarray(offset, offset + length)
          expect(difference(await volume.read(path, offset, length), part), `${path} ${offset}`).toBe(-1)
          const stream = await volume.readable(path, { offset, length })
          expect(difference(await buffer(stream), part), `${path} ${offset}, streamed`).toBe(-1)
        }
      }
    }))

  test('do not pass through the parser', () =>
    withVolume(async (volume) => {
      await volume.stat('/large')
      const before = (await volume.statistics()).bytes
      await buffer(await volume.readable('/large'))
      // The edges of the file, and where it is.
      expect((await volume.statistics()).bytes - before).toBeLessThan(MIB)
    }))

  test('end with the reason when their stream is cancelled or aborted, and the volume stays usable', () =>
    withVolume(async (volume) => {
      const cancelled = (await volume.readable('/large')).getReader()
      await cancelled.read()
      await cancelled.cancel()
      const stop = new AbortController()
      const aborted = (await volume.readable('/large', { signal: stop.signal })).getReader()
      await aborted.read()
      const reason = new Error('enough')
      stop.abort(reason)
      await expect(aborted.read()).rejects.toBe(reason)
      expect(difference(await volume.read('/large', 5, 300_000), large.subarray(5, 300_005))).toBe(-1)
    }))
})

test('nothing but the file is read of its disk', async () => {
  const disk = plain(readFileSync(file('contents.raw')))
  const volume = await only(disk)
  await volume.stat('/sparse')
  disk.ranges.length = 0
  await volume.read('/sparse')
  const bytes = disk.ranges.reduce((sum, [, length]) => sum + length, 0)
  expect(bytes).toBeLessThan(3 * MIB)
  volume.close()
})

test('an error of the disk ends the stream as it is, and the next one begins anew', async () => {
  const disk = plain(readFileSync(file('contents.raw')))
  const failure = new Error('no network')
  let fails = false
  const failing = {
    ...disk,
    read: (offset: number, length: number) => (fails ? Promise.reject(failure) : disk.read(offset, length)),
  }
  const volume = await only(failing)
  const reader = (await volume.readable('/large')).getReader()
  await reader.read()
  fails = true
  const rest = (async () => {
    while (!(await reader.read()).done) {}
  })()
  await expect(rest).rejects.toBe(failure)
  fails = false
  expect(sha256(await volume.read('/large'))).toBe(sha256(large))
  volume.close()
})

test('a disk that returns too little, or that ends within the file, costs an error', async () => {
  const disk = plain(readFileSync(file('contents.raw')))
  let short = false
  const volume = await only({
    ...disk,
    read: async (offset, length) => (await disk.read(offset, length)).subarray(0, short ? length - 1 : length),
  })
  await volume.stat('/large')
  short = true
  await expect(volume.read('/large')).rejects.toMatchObject({ code: 'DAMAGED' })
  volume.close()
  writeFileSync(file('contents.cut'), readFileSync(file('contents.raw')))
  truncateSync(file('contents.cut'), 16 * MIB)
  const cut = await raw(nodeFile(file('contents.cut')))
  const ended = await only(cut)
  const results = await Promise.allSettled(['/large', '/sparse'].map((path) => ended.read(path)))
  const codes = results.map((result) => result.status === 'rejected' && result.reason.code)
  expect(codes).toContain('DAMAGED')
  ended.close()
  await cut.close()
})

test('a volume that is closed ends the streams of its files', async () => {
  const volume = await only(plain(readFileSync(file('contents.raw'))))
  const reader = (await volume.readable('/large')).getReader()
  await reader.read()
  volume.close()
  const rest = (async () => {
    while (!(await reader.read()).done) {}
  })()
  await expect(rest).rejects.toMatchObject({ code: 'CLOSED' })
})
