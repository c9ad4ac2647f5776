import { mkdirSync, openAsBlob, readFileSync, writeFileSync } from 'node:fs'
import { blob, draft, nodeFile, Qcow2, raw } from 'qcow2-web'
import { type FilesDisk, type Volume, volumes } from 'qcow2-web/files'
import { beforeAll, describe, expect, test } from 'vitest'
import { run } from './helpers/programs'
import { difference, file, qemuImg } from './helpers/qemu'

const MIB = 1024 * 1024
const big = Uint8Array.from({ length: 9 * MIB + 77 }, (_, index) => (index * 2_654_435_761) >>> 9)
const encode = (text: string) => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
/** Where the partition begins. */
const start = 2048 * 512

beforeAll(() => {
  run('truncate', ['-s', '64M', file('disk.raw')])
  run('sfdisk', ['--quiet', file('disk.raw')], 'label: dos\nstart=2048, type=c\n')
  run('truncate', ['-s', String(63 * MIB), file('part.raw')])
  run('mkfs.vfat', ['-F', '32', '-s', '1', '-n', 'STICK', file('part.raw')])
  mkdirSync(file('old'))
  writeFileSync(file('old/inside.txt'), 'inside')
  writeFileSync(file('replaced.txt'), 'old '.repeat(1000))
  run('mcopy', ['-s', '-i', file('part.raw'), file('old'), file('replaced.txt'), '::'])
  const disk = readFileSync(file('disk.raw'))
  readFileSync(file('part.raw')).copy(disk, start)
  writeFileSync(file('disk.raw'), disk)
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2')
})

async function fat(disk: FilesDisk): Promise<Volume> {
  const [volume] = await volumes(disk)
  expect(volume).toMatchObject({ id: 'p1', type: 'fat32', writable: true })
  return volume as Volume
}

async function names(volume: Volume, path = '/'): Promise<string[]> {
  const found: string[] = []
  for await (const { name } of volume.list(path)) found.push(name)
  return found.sort()
}

/** Every kind of change, through the package. */
async function change(volume: Volume): Promise<void> {
  expect(await names(volume)).toEqual(['old', 'replaced.txt'])
  const progress: number[] = []
  const onProgress = ({ done, total }: { done: number; total: number }) => progress.push(done / total)
  await volume.createDirectory('/Für die Maschine')
  await volume.write('/Für die Maschine/big file.bin', new Blob([big]), { onProgress })
  await volume.write('/replaced.txt', encode('new'))
  await volume.write('/empty', new Uint8Array())
  await volume.delete('/old', { recursive: true })
  expect(progress.at(-1)).toBe(1)
  expect(progress.length).toBeGreaterThan(2)
  expect(await names(volume)).toEqual(['Für die Maschine', 'empty', 'replaced.txt'])
  expect(decode(await volume.read('/replaced.txt'))).toBe('new')
  expect(difference(await volume.read('/Für die Maschine/big file.bin'), big)).toBe(-1)
  volume.close()
}

/** Checks what `change` has made with other programs. */
function check(image: string): void {
  writeFileSync(file('result.raw'), readFileSync(image).subarray(start))
  run('fsck.fat', ['-n', file('result.raw')])
  const list = run('mdir', ['-b', '-/', '-i', file('result.raw'), '::'])
    .trim()
    .split('\n')
    .sort()
  expect(list).toEqual(['::/Für die Maschine/', '::/Für die Maschine/big file.bin', '::/empty', '::/replaced.txt'])
  run('mcopy', ['-n', '-i', file('result.raw'), '::/Für die Maschine/big file.bin', file('big.out')])
  expect(difference(readFileSync(file('big.out')), big)).toBe(-1)
  expect(run('mtype', ['-i', file('result.raw'), '::/replaced.txt'])).toBe('new')
}

describe('FAT is written', () => {
  test('in a writable image', async () => {
    writeFileSync(file('copy.qcow2'), readFileSync(file('disk.qcow2')))
    const storage = nodeFile(file('copy.qcow2'))
    const image = await Qcow2.open(storage, { writable: true })
    await change(await fat(image))
    await image.close()
    qemuImg('check', '-q', 'copy.qcow2')
    qemuImg('convert', '-O', 'raw', 'copy.qcow2', 'out.raw')
    check(file('out.raw'))
  })

  test('in a draft, which leaves the image as it is', async () => {
    const before = readFileSync(file('disk.qcow2'))
    const storage = draft(blob(await openAsBlob(file('disk.qcow2'))))
    const image = await Qcow2.open(storage, { writable: true })
    const volume = await fat(image)
    await volume.write('/only in the draft', encode('draft'))
    expect(decode(await volume.read('/only in the draft'))).toBe('draft')
    volume.close()
    await image.close()
    expect(readFileSync(file('disk.qcow2')).equals(before)).toBe(true)
  })

  test('on a raw disk', async () => {
    writeFileSync(file('raw.raw'), readFileSync(file('disk.raw')))
    const disk = await raw(nodeFile(file('raw.raw')), { writable: true })
    await change(await fat(disk))
    await disk.close()
    check(file('raw.raw'))
  })
})

/** A disk in memory that can be written, and keeps what is written in order. */
function disk(): FilesDisk & { bytes: Uint8Array; log: string[] } {
  const bytes = new Uint8Array(readFileSync(file('disk.raw')))
  const log: string[] = []
  return {
    bytes,
    log,
    size: bytes.length,
    read: async (offset, length) => bytes.slice(offset, offset + length),
    write: async (offset, written) => {
      log.push('write')
      bytes.set(written, offset)
    },
    flush: async () => {
      log.push('flush')
    },
  }
}

test('what a change refers to is durable before the change is', async () => {
  const target = disk()
  const volume = await fat(target)
  await volume.write('/file', encode('content'))
  const steps = target.log.join(' ').split('flush')
  expect(steps).toHaveLength(5)
  expect(target.log[0]).toBe('write')
  expect(target.log.at(-1)).toBe('flush')
  volume.close()
})

test('an abort or an error while the content is written changes nothing', async () => {
  const target = disk()
  const volume = await fat(target)
  const { write } = target
  const reason = new Error('no more')
  const stop = new AbortController()
  const onProgress = () => stop.abort(reason)
  const written = volume.write('/big', new Blob([big]), { signal: stop.signal, onProgress })
  await expect(written).rejects.toBe(reason)
  Object.assign(target, { write: () => Promise.reject(reason) })
  await expect(volume.write('/big', big)).rejects.toBe(reason)
  Object.assign(target, { write })
  expect(await names(volume)).toEqual(['old', 'replaced.txt'])
  await volume.write('/big', big)
  expect(difference(await volume.read('/big'), big)).toBe(-1)
  volume.close()
})

test('what cannot be written has a code', async () => {
  const target = disk()
  const volume = await fat(target)
  const content = encode('x')
  await expect(volume.write('/none/file', content)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(volume.write('/old', content)).rejects.toMatchObject({ code: 'IS_A_DIRECTORY' })
  await expect(volume.write('/a:b', content)).rejects.toMatchObject({ code: 'INVALID' })
  await expect(volume.write('/file', 'text' as unknown as Blob)).rejects.toMatchObject({ code: 'INVALID' })
  await expect(volume.createDirectory('/old')).rejects.toMatchObject({ code: 'EXISTS' })
  await expect(volume.delete('/old')).rejects.toMatchObject({ code: 'NOT_EMPTY' })
  await expect(volume.delete('/none')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(volume.write('/file', new Blob([new Uint8Array(70 * MIB)]))).rejects.toMatchObject({ code: 'NO_SPACE' })
  expect(target.log).toEqual([])
  volume.close()

  Object.assign(target, { readOnly: true })
  const [readOnly] = await volumes(target)
  expect(readOnly).toMatchObject({ writable: false })
  await expect(readOnly?.write('/file', content)).rejects.toMatchObject({ code: 'READ_ONLY' })

  run('truncate', ['-s', '8M', file('ext.raw')])
  run('mke2fs', ['-q', '-F', file('ext.raw')])
  const [ext] = await volumes({
    ...disk(),
    size: 8 * MIB,
    read: async (at, n) => readFileSync(file('ext.raw')).subarray(at, at + n),
  })
  const message = 'ext2 volumes are read-only.'
  await expect(ext?.write('/file', content)).rejects.toMatchObject({ code: 'READ_ONLY', message })
})
