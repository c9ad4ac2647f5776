import { describe, expect, it } from 'vitest'
import { exportChunks } from '../../src/js/hosts/chunks.js'
import { type EmscriptenFs, mountDisk } from '../../src/js/hosts/emscripten.js'
import { infiniteMacDisk } from '../../src/js/hosts/infinite-mac.js'
import { serve } from '../../src/js/hosts/serve.js'
import { type V86Like, v86Disk } from '../../src/js/hosts/v86.js'
import { isQcow2Error, memory, Qcow2 } from '../../src/js/index.js'
import { oddCalls } from './helpers/odd.js'

const size = 65536
const { signal } = new AbortController()
const watch = { signal, onProgress: () => {} }
/** A disk whose own members are good. */
class Zeros {
  readonly size = size

  async read(_: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(length)
  }
}

type Call = readonly [args: (image: Qcow2) => readonly unknown[], call: (image: Qcow2, ...args: never[]) => unknown]

/** The part of Emscripten's file system that is called. */
class FileSystem implements EmscriptenFs {
  readonly ErrnoError = class extends Error {
    constructor(errno: number) {
      super(String(errno))
    }
  }

  mknod() {
    return { node_ops: {}, stream_ops: {}, id: 1, mode: 0 }
  }

  unlink(): void {}
}

const calls: Record<string, Call> = {
  v86Disk: [
    (image) => [image, { writeCache: true, onFault: async () => 'fail', onChange: () => {} }],
    (_, ...args) => v86Disk(...(args as unknown as Parameters<typeof v86Disk>)).close(),
  ],
  'v86Disk, attach': [
    () => [{}, { signal }],
    async (image, ...args) => {
      const disk = v86Disk(image)
      await disk.attach(...(args as unknown as [V86Like])).finally(() => disk.close())
    },
  ],
  'v86Disk, savevm': [
    () => ['one', { into: undefined, ...watch }],
    async (image, ...args) => {
      const disk = v86Disk(image)
      await disk.savevm(...(args as unknown as [string])).finally(() => disk.close())
    },
  ],
  'v86Disk, loadvm': [
    () => ['one', watch],
    async (image, ...args) => {
      const disk = v86Disk(image)
      await disk.loadvm(...(args as unknown as [string])).finally(() => disk.close())
    },
  ],
  mountDisk: [
    (image) => [new FileSystem(), '/disk.img', image, { module: undefined, flushDelay: 5, onError: () => {} }],
    (_, ...args) => mountDisk(...(args as unknown as Parameters<typeof mountDisk>)).unmount(),
  ],
  infiniteMacDisk: [
    (image) => ['disk', image, { flushDelay: 5, onError: () => {} }],
    (_, ...args) => infiniteMacDisk(...(args as unknown as Parameters<typeof infiniteMacDisk>)).close(),
  ],
  'infiniteMacDisk, read and write': [
    () => [new Uint8Array(8), 0, 8],
    (image, ...args) => {
      const disk = infiniteMacDisk('disk', image)
      disk.write(...(args as unknown as [Uint8Array, number, number]))
      disk.read(...(args as unknown as [Uint8Array, number, number]))
      disk.close()
    },
  ],
  serve: [
    () => [
      new Request('http://localhost/disk', { headers: { range: 'bytes=0-9' } }),
      new Zeros(),
      { type: 'application/octet-stream', filename: 'disk.img', etag: 'one' },
    ],
    async (_, ...args) => (await serve(...(args as unknown as Parameters<typeof serve>))).arrayBuffer(),
  ],
  exportChunks: [
    () => [
      new Zeros(),
      {
        size: 65536,
        naming: 'v86',
        name: 'disk.img',
        since: { version: 1, diskSize: size, chunkSize: size, chunks: ['one'] },
        write: () => {},
        ...watch,
      },
    ],
    (_, ...args) => exportChunks(...(args as unknown as Parameters<typeof exportChunks>)),
  ],
}

const odd = oddCalls((error) => isQcow2Error(error) && error.kind !== 'engine')

describe('an adapter for emulators refuses what it cannot take, and the image works on', () => {
  it.each(Object.entries(calls))('%s', async (_, [args, call]) => {
    await using image = await Qcow2.create(memory(), { size })
    expect(
      await odd.attempt(
        () => args(image),
        (...given) => call(image, ...given),
      ),
    ).toEqual([])
    await image.write(5, new Uint8Array([1, 2, 3]))
    expect([...(await image.read(5, 3))]).toEqual([1, 2, 3])
  })
})
