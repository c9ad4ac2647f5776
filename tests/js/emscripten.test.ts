import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type EmscriptenFs,
  type EmscriptenMemory,
  type MountOptions,
  mountDisk,
} from '../../src/js/hosts/emscripten.js'
import { memory, Qcow2, type Qcow2Error } from '../../src/js/index.js'
import { FaultyStorage } from './helpers/faulty.js'

/** The part of Emscripten's file system that programs use. */
interface Fs extends EmscriptenFs {
  open(path: string, flags: string): { readonly fd: number; position: number }
  read(stream: object, buffer: ArrayBufferView, offset: number, length: number, position?: number): number
  write(stream: object, buffer: ArrayBufferView, offset: number, length: number, position?: number): number
  llseek(stream: object, offset: number, whence: number): number
  mmap(stream: object, length: number, position: number, prot: number, flags: number): { ptr: number }
  msync(stream: object, buffer: ArrayBufferView, offset: number, length: number, flags: number): number
  stat(path: string): { readonly size: number; readonly mode: number }
  close(stream: object): void
  truncate(path: string, size: number): void
  analyzePath(path: string): { readonly exists: boolean }
}

type Module = EmscriptenMemory & { readonly FS: Fs }

/** A module of js-dos, which has Emscripten's own file system. */
async function start(): Promise<Module> {
  const require = createRequire(import.meta.url)
  const path = require.resolve('emulators/dist/wlibzip.js')
  // It is a script, not a module, and finds out where it runs by these names.
  const source = `(require, __filename, __dirname) => { ${readFileSync(path, 'utf8')}; return WLIBZIP }`
  // biome-ignore lint/security/noGlobalEval: a script of a package, run as a page would
  const make = globalThis.eval(source)(require, path, dirname(path))
  return make({ wasmBinary: readFileSync(path.replace(/js$/, 'wasm')), noInitialRun: true })
}

const size = 256 * 1024

async function mounted(options: MountOptions = {}) {
  const image = await Qcow2.create(memory(), { size })
  const module = await start()
  const mount = mountDisk(module.FS, '/disk.img', image, options)
  return { image, module, fs: module.FS, mount }
}

describe('a mounted disk', () => {
  it('is a file of the size of the disk, without its bytes in memory', async () => {
    const { fs } = await mounted()
    expect(fs.stat('/disk.img')).toMatchObject({ size, mode: 0o100666 })
  })

  it('is read and written through any kind of view', async () => {
    const { fs, image } = await mounted()
    const stream = fs.open('/disk.img', 'r+')
    // DOSBox passes its memory as signed bytes.
    const heap = new Int8Array(1024).fill(-1)
    expect(fs.write(stream, heap, 100, 512)).toBe(512)
    expect(fs.llseek(stream, 0, 1)).toBe(512)
    expect(image.readSync(0, 513)).toEqual(Uint8Array.from([...Array(512).fill(255), 0]))
    const view = new Uint8Array(new ArrayBuffer(64), 16, 32)
    expect(fs.read(stream, view, 8, 4, 510)).toBe(4)
    expect([...view.subarray(8, 12)]).toEqual([255, 255, 0, 0])
    expect(view[7]).toBe(0)
    fs.close(stream)
  })

  it('seeks from its beginning, its end, and where it is', async () => {
    const { fs } = await mounted()
    const stream = fs.open('/disk.img', 'r')
    expect(fs.llseek(stream, 1000, 0)).toBe(1000)
    expect(fs.llseek(stream, -10, 1)).toBe(990)
    expect(fs.llseek(stream, -512, 2)).toBe(size - 512)
    expect(() => fs.llseek(stream, -1, 0)).toThrow()
    const buffer = new Uint8Array(1024)
    expect(fs.read(stream, buffer, 0, 1024)).toBe(512)
    expect(fs.read(stream, buffer, 0, 1024)).toBe(0)
  })

  it('keeps its size', async () => {
    const { fs } = await mounted()
    const stream = fs.open('/disk.img', 'r+')
    expect(fs.write(stream, new Uint8Array(1024), 0, 1024, size - 512)).toBe(512)
    expect(() => fs.write(stream, new Uint8Array(1), 0, 1, size)).toThrow(expect.objectContaining({ errno: 51 }))
    expect(() => fs.truncate('/disk.img', 0)).toThrow()
    fs.truncate('/disk.img', size)
    expect(fs.stat('/disk.img').size).toBe(size)
  })

  it('can be mapped, and written back', async () => {
    const image = await Qcow2.create(memory(), { size })
    await image.write(4096, new Uint8Array(10).fill(7))
    const module = await start()
    mountDisk(module.FS, '/disk.img', image, { module })
    const stream = module.FS.open('/disk.img', 'r+')
    const { ptr } = module.FS.mmap(stream, 4096, 4096, 3, 1)
    const map = module.HEAPU8.subarray(ptr, ptr + 4096)
    expect([map[9], map[10]]).toEqual([7, 0])
    map[0] = 9
    module.FS.msync(stream, map, 4096, 4096, 1)
    expect(image.readSync(4096, 2)).toEqual(new Uint8Array([9, 7]))
  })

  it('is flushed when its program syncs or closes it, and when it is unmounted', async () => {
    const { fs, image, mount } = await mounted()
    let flushes = 0
    image.flushSync = () => {
      flushes += 1
    }
    const stream = fs.open('/disk.img', 'r+') as { stream_ops?: { fsync(stream: object): number } } & object
    fs.write(stream, new Uint8Array(512), 0, 512)
    expect(stream.stream_ops?.fsync(stream)).toBe(0)
    expect(flushes).toBe(1)
    fs.close(stream)
    expect(flushes).toBe(2)
    mount.unmount()
    expect(flushes).toBe(3)
    expect(fs.analyzePath('/disk.img').exists).toBe(false)
  })

  it('is flushed after its writes, also if its program never waits', async () => {
    const image = await Qcow2.create(memory(), { size })
    const { FS } = await start()
    let flushes = 0
    let flushed = () => {}
    image.flushSync = () => {
      flushes += 1
      flushed()
    }
    mountDisk(FS, '/disk.img', image, { flushDelay: 5 })
    const stream = FS.open('/disk.img', 'r+')
    const write = () => FS.write(stream, new Uint8Array(512), 0, 512, 0)
    // No timer fires meanwhile.
    while (flushes === 0) write()
    const later = new Promise<void>((resolve) => {
      flushed = resolve
    })
    write()
    expect(flushes).toBe(1)
    await later
    expect(flushes).toBe(2)
  })

  it('gives errors of the image as numbers, and in words to its host', async () => {
    const errors: Qcow2Error[] = []
    const { fs, image } = await mounted({ onError: (error) => errors.push(error) })
    const stream = fs.open('/disk.img', 'r+')
    await image.close()
    expect(() => fs.read(stream, new Uint8Array(512), 0, 512)).toThrow(expect.objectContaining({ errno: 29 }))
    expect(errors).toMatchObject([{ code: 'CLOSED' }])
  })

  it('cannot be written if the image cannot', async () => {
    const file = memory()
    await (await Qcow2.create(file, { size })).close()
    const image = await Qcow2.open(memory(file.bytes()))
    const { FS } = await start()
    mountDisk(FS, '/disk.img', image)
    expect(FS.stat('/disk.img').mode).toBe(0o100444)
    const stream = FS.open('/disk.img', 'r')
    expect(FS.read(stream, new Uint8Array(512), 0, 512)).toBe(512)
  })
})

it('an image that cannot be read without waiting is refused', async () => {
  const image = await Qcow2.create(new FaultyStorage(), { size })
  const { FS } = await start()
  expect(() => mountDisk(FS, '/disk.img', image)).toThrow(expect.objectContaining({ code: 'NOT_SYNC' }))
  expect(FS.analyzePath('/disk.img').exists).toBe(false)
})
