import {
  appendFileSync,
  closeSync,
  copyFileSync,
  openSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isQcow2Error, nodeFile, Qcow2, raw } from '../../src/js/index.js'
import { contents, convert, difference, file, qemuImg, qemuIo } from './helpers/qemu.js'

const MiB = 1024 * 1024
const bytes = contents(3 * MiB, 32)
const path = convert('node-file.qcow2', bytes)

/** A copy of the image that was last written long ago, so that the next write gets another time. */
function copy(name: string): string {
  const to = file(name)
  copyFileSync(path, to)
  utimesSync(to, 1, 1)
  return to
}

/** Writes over some bytes of a file, as another program may. */
function overwrite(path: string, offset: number): void {
  const other = openSync(path, 'r+')
  writeSync(other, new Uint8Array([1, 2, 3]), 0, 3, offset)
  closeSync(other)
}

describe.each([
  ['asynchronous', false],
  ['synchronous', true],
])('the file of an %s storage', (_, sync) => {
  const open = (path: string) => Qcow2.open(sync ? nodeFile(path, { sync }) : nodeFile(path))

  /** Reads for some milliseconds, since not each read looks after the file; the code of the error. */
  async function fault(image: Qcow2): Promise<string> {
    for (let times = 0; times < 100; times += 1) {
      try {
        await image.read(0, image.size)
      } catch (error) {
        return isQcow2Error(error) ? error.code : String(error)
      }
    }
    return 'none'
  }

  it('is reported with the room that it takes, without its holes', async () => {
    const path = file('sparse.qcow2')
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', path, '64M')
    await using image = await open(path)
    const { allocatedSize, fileSize } = await image.info()
    expect(allocatedSize).toBe(statSync(path).blocks * 512)
    expect(allocatedSize).toBeLessThan(fileSize)
  })

  it.each<[string, (path: string) => void]>([
    ['is written', (path) => overwrite(path, 500_000)],
    ['grows', (path) => appendFileSync(path, 'more')],
    ['is written by QEMU', (path) => qemuIo(path, 'write -P 7 0 64k')],
  ])('that %s while it is only read is reported as changed', async (_, change) => {
    const path = copy('node-file-changed.qcow2')
    await using image = await open(path)
    expect(difference(await image.read(0, bytes.length), bytes)).toBe(-1)
    change(path)
    expect(await fault(image)).toBe('FILE_CHANGED')
  })

  it('is opened again as it has become', async () => {
    const path = copy('node-file-again.qcow2')
    const storage = sync ? nodeFile(path, { sync }) : nodeFile(path)
    const image = await Qcow2.open(storage)
    qemuIo(path, 'write -P 7 0 64k')
    expect(await fault(image)).toBe('FILE_CHANGED')
    await image.close()
    await using again = await Qcow2.open(storage)
    expect(await again.read(0, 3)).toEqual(new Uint8Array([7, 7, 7]))
  })

  it('is opened for writing only if the image is', async () => {
    const path = copy('node-file-mode.qcow2')
    const storage = sync ? nodeFile(path, { sync }) : nodeFile(path)
    const write = async () => {
      if ('writeSync' in storage) storage.writeSync(0, new Uint8Array(1))
      else await storage.write(0, new Uint8Array(1), new AbortController())
    }
    {
      await using reader = await Qcow2.open(storage)
      await using other = await open(path)
      expect(difference(await other.read(0, reader.size), bytes)).toBe(-1)
      await expect(write()).rejects.toMatchObject({ code: 'READ_ONLY' })
      await expect(storage.open?.({ writable: true })).rejects.toMatchObject({ code: 'IN_USE' })
    }
    await using writer = await Qcow2.open(storage, { writable: true })
    expect(writer.readOnly).toBe(false)
    await expect(open(path)).rejects.toMatchObject({ code: 'IN_USE' })
  })

  it('that is missing is made only where it is opened for writing', async () => {
    const path = file(`node-file-missing-${sync}.qcow2`)
    const storage = sync ? nodeFile(path, { sync, create: true }) : nodeFile(path, { create: true })
    await expect(Qcow2.open(storage)).rejects.toMatchObject({ code: 'STORAGE', cause: { code: 'ENOENT' } })
    await (await Qcow2.create(storage, { size: MiB })).close()
    expect(statSync(path).size).toBeGreaterThan(0)
  })

  it('whose name another file takes is read on as it was', async () => {
    const path = copy('node-file-replaced.qcow2')
    await using image = await open(path)
    const other = copy('node-file-other.qcow2')
    overwrite(other, 500_000)
    renameSync(other, path)
    for (let times = 0; times < 3; times += 1) expect(difference(await image.read(0, bytes.length), bytes)).toBe(-1)
  })

  it('that is written here is not compared with what it was', async () => {
    const path = copy('node-file-written.qcow2')
    const storage = sync ? nodeFile(path, { sync }) : nodeFile(path)
    await using image = await Qcow2.open(storage, { writable: true })
    await image.write(0, bytes.subarray(MiB, 2 * MiB))
    await image.flush()
    expect(difference(await image.read(0, MiB), bytes.subarray(MiB, 2 * MiB))).toBe(-1)
  })
})

it('a raw disk over a file that changes never mixes two states', async () => {
  const path = file('node-file.raw')
  writeFileSync(path, new Uint8Array(8 * MiB).fill(1))
  utimesSync(path, 1, 1)
  await using disk = await raw(nodeFile(path))
  const reading = disk.read(0, 8 * MiB)
  writeFileSync(path, new Uint8Array(8 * MiB).fill(2), { flag: 'r+' })
  const read = await reading.catch((error) => {
    if (isQcow2Error(error) && error.code === 'FILE_CHANGED') return undefined
    throw error
  })
  if (read) expect(read.every((byte) => byte === 1)).toBe(true)
  await expect(disk.read(0, 10)).rejects.toMatchObject({ code: 'FILE_CHANGED' })
})
