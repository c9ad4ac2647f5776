import { describe, expect, it } from 'vitest'
import { exportChunks } from '../../src/js/hosts/chunks.js'
import { memory, Qcow2 } from '../../src/js/index.js'
import { contents } from './helpers/qemu.js'

const size = 300 * 1024
const chunk = 64 * 1024

async function image() {
  const image = await Qcow2.create(memory(), { size })
  await image.write(0, contents(size))
  return image
}

describe('the chunks of a disk', () => {
  it('are files of one size, under the names that v86 asks for', async () => {
    const source = await image()
    const files = new Map<string, Uint8Array>()
    const progress: number[] = []
    const manifest = await exportChunks(source, {
      size: chunk,
      name: 'my.disk.img',
      write: (name, bytes) => void files.set(name, bytes.slice()),
      onProgress: ({ done, total }) => progress.push(done / total),
    })
    expect([...files.keys()].slice(0, 2)).toEqual(['my.disk-0-65536.img', 'my.disk-65536-131072.img'])
    expect(files.size).toBe(5)
    expect(manifest).toMatchObject({ version: 1, diskSize: size, chunkSize: chunk })
    expect(progress.at(-1)).toBe(1)
    const all = Buffer.concat([...files.values()])
    expect(all.length).toBe(5 * chunk)
    expect(Buffer.compare(all.subarray(0, size), contents(size))).toBe(0)
    expect(all.subarray(size).every((byte) => byte === 0)).toBe(true)
  })

  it('that have not changed since an earlier export are left out', async () => {
    const source = await image()
    const since = await exportChunks(source, { size: chunk, write: () => {} })
    await source.write(chunk + 5, new Uint8Array([1, 2, 3]))
    const names: string[] = []
    const kept = JSON.parse(JSON.stringify(since))
    const manifest = await exportChunks(source, { size: chunk, since: kept, write: (name) => void names.push(name) })
    expect(names).toEqual(['disk-65536-131072.img'])
    expect(manifest.chunks.filter((hash, index) => hash !== since.chunks[index])).toHaveLength(1)
    await expect(exportChunks(source, { size: 2 * chunk, since, write: () => {} })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })

  it('have the names of TinyEMU, and its description', async () => {
    const files = new Map<string, Uint8Array>()
    const write = (name: string, bytes: Uint8Array) => void files.set(name, bytes.slice())
    await exportChunks(await image(), { size: chunk, naming: 'tinyemu', write })
    expect([...files.keys()].at(0)).toBe('blk000000000.bin')
    expect(Buffer.from(files.get('blk.txt') ?? []).toString()).toBe('{\n  block_size: 64,\n  n_block: 5,\n}\n')
  })

  it('stop when they are aborted, and end with what `write` throws', async () => {
    const source = await image()
    const controller = new AbortController()
    const written: string[] = []
    const write = (name: string) => {
      written.push(name)
      controller.abort(new Error('enough'))
    }
    await expect(exportChunks(source, { size: chunk, write, signal: controller.signal })).rejects.toThrow('enough')
    expect(written).toHaveLength(1)
    const full = () => {
      throw new Error('no room')
    }
    await expect(exportChunks(source, { write: full })).rejects.toThrow('no room')
    await expect(exportChunks(source, { size: 100, write: full })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
