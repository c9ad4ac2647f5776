import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { memory, nodeFile, Qcow2 } from 'qcow2-web'
import { type FileEntry, type FilesDisk, type Volume, volumes } from 'qcow2-web/files'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Thread, WorkerHost } from '../../src/js/files/host'
import { safeName, UniqueNames } from '../../src/js/files/paths'
import { run } from './helpers/programs'
import { difference, file, qemuImg } from './helpers/qemu'

const MIB = 1024 * 1024
const big = Uint8Array.from({ length: 5 * MIB + 123 }, (_, index) => (index * 2_654_435_761) >>> 13)

/** A raw image of ext4 with what `fill` puts into a folder. */
function ext4(name: string, size: string, fill: (root: string) => void, ...options: string[]): string {
  const root = file(`${name}.tree`)
  mkdirSync(root)
  fill(root)
  run('truncate', ['-s', size, file(name)])
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', 'label', ...options, '-d', root, file(name)])
  return file(name)
}

beforeAll(() => {
  const raw = ext4('disk.raw', '32M', (root) => {
    mkdirSync(join(root, 'dir', 'sub'), { recursive: true })
    writeFileSync(join(root, 'dir', 'big.bin'), big)
    writeFileSync(join(root, 'dir', 'Grüße 🦀.txt'), 'Hallo')
    writeFileSync(Buffer.from(`${root}/dir/\xff\xfe.bin`, 'latin1'), 'odd')
    writeFileSync(join(root, 'dir', 'sub', 'CON.txt'), 'reserved')
    writeFileSync(join(root, 'dir', 'sub', 'a:b?.txt'), 'one')
    writeFileSync(join(root, 'dir', 'sub', 'a_b_.txt'), 'two')
    writeFileSync(join(root, 'dir', 'sub', 'empty'), '')
    linkSync(join(root, 'dir', 'big.bin'), join(root, 'dir', 'hard'))
    symlinkSync('dir/big.bin', join(root, 'link'))
    symlinkSync('/nowhere', join(root, 'dangling'))
    chmodSync(join(root, 'dir', 'sub'), 0o750)
    utimesSync(join(root, 'dir', 'big.bin'), 1_000_000_000, 1_234_567_890)
  })
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, 'disk.qcow2')
}, 120_000)

/** The one volume of a disk, with files in it. */
async function only(disk: FilesDisk, options = {}): Promise<Volume> {
  const found = await volumes(disk, options)
  expect(found.map(({ id, supported }) => [id, supported])).toEqual([['disk', true]])
  return found[0] as Volume
}

async function all(entries: AsyncIterable<FileEntry>): Promise<FileEntry[]> {
  const found: FileEntry[] = []
  for await (const entry of entries) found.push(entry)
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A disk of bytes that counts its reads. */
function counting(bytes: Uint8Array): FilesDisk & { reads: number } {
  return {
    size: bytes.length,
    reads: 0,
    async read(offset, length) {
      this.reads += 1
      return bytes.slice(offset, offset + length)
    },
  }
}

describe.each([
  ['in a worker', true],
  ['in this thread', false],
])('files of an image %s', (_, worker) => {
  async function withVolume(body: (volume: Volume) => Promise<void>): Promise<void> {
    const image = await Qcow2.open(nodeFile(file('disk.qcow2')))
    const volume = await only(image, { worker })
    try {
      await body(volume)
    } finally {
      volume.close()
      await image.close()
    }
  }

  test('a volume has a type, a label, an identifier and sizes', () =>
    withVolume(async ({ type, title, label, uuid, size, used, free }) => {
      expect({ type, title, label, size }).toEqual({ type: 'ext4', title: 'ext4', label: 'label', size: 32 * MIB })
      expect(uuid).toMatch(/^[0-9a-f-]{36}$/)
      expect((used ?? 0) + (free ?? 0)).toBe(32 * MIB)
    }))

  test('directories are listed with what the file system knows', () =>
    withVolume(async (volume) => {
      const root = await all(volume.list())
      expect(root.map(({ name, kind }) => [name, kind])).toEqual([
        ['dangling', 'link'],
        ['dir', 'directory'],
        ['link', 'link'],
        ['lost+found', 'directory'],
      ])
      const found = await all(volume.list('/dir/'))
      expect(found.map(({ name, size }) => [name, size])).toEqual([
        ['Grüße 🦀.txt', 5],
        ['big.bin', big.length],
        ['hard', big.length],
        ['sub', 0],
        ['\ufffd\ufffd.bin', 3],
      ])
      expect(found[1]).toMatchObject({ path: '/dir/big.bin', modified: 1_234_567_890_000, mode: 0o644 })
      expect(await volume.stat('/dir/sub')).toMatchObject({ kind: 'directory', mode: 0o750 })
    }))

  test('a name that is not UTF-8 can be used as bytes', () =>
    withVolume(async (volume) => {
      const odd = (await all(volume.list('/dir'))).find(({ nameBytes }) => nameBytes)
      expect(odd?.nameBytes).toEqual(Uint8Array.from([0xff, 0xfe, ...Buffer.from('.bin')]))
      expect(Buffer.from(await volume.read(odd?.path ?? '')).toString()).toBe('odd')
    }))

  test('files are read as a whole, in part and as a stream, also through links', () =>
    withVolume(async (volume) => {
      expect(difference(await volume.read('/dir/big.bin'), big)).toBe(-1)
      expect(difference(await volume.read('link', 4_000_000, 2_000), big.subarray(4_000_000, 4_002_000))).toBe(-1)
      expect(await volume.read('/link', big.length + 5)).toHaveLength(0)
      const progress: number[] = []
      const onProgress = ({ done }: { done: number }) => progress.push(done)
      const stream = await volume.readable('/dir/../dir/hard', { offset: 3, onProgress })
      expect(difference(await buffer(stream), big.subarray(3))).toBe(-1)
      expect(progress.at(-1)).toBe(big.length - 3)
      expect(await volume.readLink('/link')).toBe('dir/big.bin')
      expect(await volume.stat('/link', { follow: false })).toMatchObject({ kind: 'link' })
    }))

  test('what cannot succeed has a code', () =>
    withVolume(async (volume) => {
      await expect(volume.read('/none')).rejects.toMatchObject({ name: 'FilesError', code: 'NOT_FOUND' })
      await expect(volume.read('/dangling')).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await expect(volume.stat('/dir/big.bin/x')).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
      await expect(all(volume.list('/dir/big.bin'))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
      await expect(volume.readable('/dir')).rejects.toMatchObject({ code: 'IS_A_DIRECTORY' })
      await expect(volume.readLink('/dir')).rejects.toMatchObject({ code: 'NOT_A_LINK' })
      await expect(volume.read('/link', -1)).rejects.toMatchObject({ code: 'INVALID' })
      await expect(volume.zip(['/none'])).rejects.toMatchObject({ code: 'NOT_FOUND' })
      const reason = new Error('enough')
      await expect(volume.read('/link', 0, 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
      volume.close()
      await expect(volume.read('/link')).rejects.toMatchObject({ code: 'CLOSED' })
    }))

  test('a zip archive has all files under names that every system can hold', () =>
    withVolume(async (volume) => {
      const skipped: string[] = []
      const onSkip = (path: string | Uint8Array) => skipped.push(String(path))
      const name = `${worker}.zip`
      writeFileSync(file(name), await buffer(await volume.zip(['/dir', '/link'], { onSkip })))
      run('unzip', ['-q', file(name), '-d', file(`${name}.d`)])
      const read = (path: string) => readFileSync(join(file(`${name}.d`), path))
      expect(difference(read('dir/big.bin'), big)).toBe(-1)
      expect(read('dir/Grüße 🦀.txt').toString()).toBe('Hallo')
      expect(read('dir/sub/_CON.txt').toString()).toBe('reserved')
      expect([read('dir/sub/a_b_.txt'), read('dir/sub/a_b_ (2).txt')].map(String).sort()).toEqual(['one', 'two'])
      expect(read('dir/sub/empty')).toHaveLength(0)
      expect(skipped).toEqual(['/link'])
    }))

  test('a tar archive keeps permissions, times and links', () =>
    withVolume(async (volume) => {
      const name = `${worker}.tar`
      writeFileSync(file(name), await buffer(await volume.tar(['/'])))
      mkdirSync(file(`${name}.d`))
      run('tar', ['-xf', file(name), '-C', file(`${name}.d`), '--exclude', 'lost+found'])
      expect(difference(readFileSync(join(file(`${name}.d`), 'dir/hard')), big)).toBe(-1)
      const listed = run('tar', ['-tvf', file(name)])
      expect(listed).toMatch(/^drwxr-x--- .* dir\/sub\/$/m)
      expect(listed).toMatch(/^lrwxrwxrwx .* link -> dir\/big\.bin$/m)
      expect(listed).toMatch(/ 2009-02-13 .* dir\/big\.bin$/m)
    }))
})

test('a listing of 2,000 entries needs at most one read per 100 entries', async () => {
  const image = ext4(
    'many.raw',
    '32M',
    (root) => {
      mkdirSync(join(root, 'many'))
      for (let index = 0; index < 2000; index++) writeFileSync(join(root, 'many', `entry ${index}`), '')
    },
    '-N',
    '4000',
  )
  const disk = counting(readFileSync(image))
  const volume = await only(disk)
  const before = disk.reads
  expect(await all(volume.list('/many'))).toHaveLength(2000)
  expect(disk.reads - before).toBeLessThanOrEqual(20)
  volume.close()
})

test('a truncated disk costs an error, and the volume stays usable', async () => {
  const image = ext4('cut.raw', '32M', (root) => {
    for (let index = 0; index < 20; index++) writeFileSync(join(root, `file ${index}`), big.subarray(0, MIB))
  })
  truncateSync(image, 12 * MIB)
  const volume = await only(counting(readFileSync(image)))
  const entries = (await all(volume.list())).filter(({ kind }) => kind === 'file')
  const results = await Promise.allSettled(entries.map(({ path }) => volume.read(path)))
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []))
  expect(failures.length).toBeGreaterThan(0)
  expect(new Set(failures)).toEqual(new Set(['DAMAGED']))
  expect(results.some(({ status }) => status === 'fulfilled')).toBe(true)
  volume.close()
})

test('an error of the disk is thrown as it is, and the next call tries again', async () => {
  const bytes = readFileSync(file('disk.raw'))
  const failure = new Error('no network')
  let fails = false
  const disk: FilesDisk = {
    size: bytes.length,
    async read(offset, length) {
      if (fails) throw failure
      return bytes.subarray(offset, offset + length).slice()
    },
  }
  const volume = await only(disk)
  fails = true
  await expect(volume.stat('/dir')).rejects.toBe(failure)
  fails = false
  expect(await volume.stat('/dir')).toMatchObject({ kind: 'directory' })
  volume.close()
})

test('an image that holds nothing has one unknown volume, which says so', async () => {
  const image = await Qcow2.create(memory(), { size: MIB })
  const [volume] = await volumes(image)
  expect(volume).toMatchObject({ id: 'disk', type: 'unknown', supported: false, size: MIB })
  await expect(volume?.stat('/')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  volume?.close()
  await image.close()
})

test('a parser that takes too long is ended, and its call rejects', async () => {
  let terminated = false
  let answer: (message: { value: undefined }) => void = () => {}
  let posted = 0
  const thread: Thread = {
    listen(onMessage) {
      answer = onMessage
    },
    // Starts, and never answers again.
    post() {
      posted += 1
      if (posted === 1) queueMicrotask(() => answer({ value: undefined }))
    },
    terminate() {
      terminated = true
    },
  }
  const module = new WebAssembly.Module(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))
  const host = await WorkerHost.start(thread, { module, luks: undefined, size: 0 }, 1)
  await expect(host.call({ method: 'scan', args: [] })).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect(terminated).toBe(true)
  await expect(host.call({ method: 'scan', args: [] })).rejects.toMatchObject({ code: 'TIMEOUT' })
})

test('names are made safe for every system', () => {
  const names = ['..', '.', 'a/b', 'C:\\x', 'nul', 'Com1.txt', 'console', 'dot.', 'x ', 'tab\t', 'ok.txt']
  expect(names.map(safeName)).toEqual([
    '__',
    '_',
    'a_b',
    'C__x',
    '_nul',
    '_Com1.txt',
    'console',
    'dot_',
    'x_',
    'tab_',
    'ok.txt',
  ])
  const unique = new UniqueNames()
  expect(['a.txt', 'A.TXT', 'a.txt', '.x'].map((name) => unique.take(name))).toEqual([
    'a.txt',
    'A (2).TXT',
    'a (3).txt',
    '.x',
  ])
})
