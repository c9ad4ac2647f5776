import { rmSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type CreateOptions, type Memory, memory, nodeFile, Qcow2, type WritableStorage } from '../../src/js/index.js'
import { contents, difference, disk, file, qemuImg, save } from './helpers/qemu.js'
import { Random } from './helpers/random.js'
import { delayed } from './helpers/storages.js'

const KiB = 1024
const size = 2 * 1024 * KiB + 512

/** An image beside the array that it should be equal to. */
class Model {
  readonly #random: Random
  readonly #storage: () => WritableStorage
  readonly #expected: Uint8Array
  readonly #clusterSize: number
  #image: Qcow2

  constructor(random: Random, storage: () => WritableStorage, image: Qcow2, expected: Uint8Array, clusterSize: number) {
    this.#random = random
    this.#storage = storage
    this.#image = image
    this.#expected = expected
    this.#clusterSize = clusterSize
  }

  /** Some requests at once, which don't overlap; then all of it is compared. */
  async round(reopen: (storage: WritableStorage) => Promise<Qcow2>): Promise<void> {
    const part = Math.floor(size / 4 / this.#clusterSize) * this.#clusterSize
    await Promise.all([0, 1, 2, 3].map((index) => this.#request(index * part, index === 3 ? size : (index + 1) * part)))
    const kind = this.#random.below(10)
    if (kind < 3) await this.#image.flush()
    if (kind === 3) {
      await this.#image.close()
      this.#image = await reopen(this.#storage())
    }
    expect(difference(await this.#image.read(0, size), this.#expected)).toBe(-1)
  }

  close(): Promise<void> {
    return this.#image.close()
  }

  /** One request within `from` to `to`, which are multiples of the cluster size, or the disk's end. */
  async #request(from: number, to: number): Promise<void> {
    const random = this.#random
    const start = from + random.below(to - from)
    const end = start + random.below(Math.min(to - start, random.pick([512, 8 * KiB, 300 * KiB])) + 1)
    const cluster = this.#clusterSize
    switch (random.below(6)) {
      case 0:
        await this.#image.writeZeroes(start, end - start, { unmap: random.below(2) === 0 })
        this.#expected.fill(0, start, end)
        return
      case 1: {
        await this.#image.discard(start, end - start)
        // Whole clusters are zeros; an image says itself what became of the rest.
        const [first, last] = [
          Math.ceil(start / cluster) * cluster,
          end === size ? size : Math.floor(end / cluster) * cluster,
        ]
        if (first < last) this.#expected.fill(0, first, last)
        const parts = [start, end].map((at) => Math.floor(at / cluster) * cluster).filter((at) => at < size)
        for (const at of parts) this.#expected.set(await this.#zerosOrSame(at, Math.min(at + cluster, size)), at)
        return
      }
      case 2: {
        const [first, last] = [Math.floor(start / cluster) * cluster, Math.min(Math.ceil(end / cluster) * cluster, to)]
        const bytes = contents(last - first, 1 + random.below(1000))
        await this.#image.writeCompressed(first, bytes)
        this.#expected.set(bytes, first)
        return
      }
      default: {
        const bytes = contents(end - start, 1 + random.below(1000))
        await this.#image.write(start, bytes)
        this.#expected.set(bytes, start)
      }
    }
  }

  /** What a part is after a discard: each of its subclusters zeros, or as before. */
  async #zerosOrSame(from: number, to: number): Promise<Uint8Array> {
    const bytes = await this.#image.read(from, to - from)
    const before = this.#expected.subarray(from, to)
    const changed = bytes.findIndex((byte, index) => byte !== 0 && byte !== before[index])
    expect(changed).toBe(-1)
    return bytes
  }
}

const shapes: [string, Omit<CreateOptions, 'size'>][] = [
  ['by default', {}],
  ['of small clusters', { clusterSize: 512, refcountBits: 1 }],
  ['of version 2', { version: 2, clusterSize: 4 * KiB }],
  ['of subclusters', { extendedL2: true, clusterSize: 16 * KiB, compression: 'zstd' }],
  [
    'with lazy refcounts and tiny caches',
    { lazyRefcounts: true, clusterSize: 4 * KiB, cacheSize: { tables: 0, clusters: 0 } },
  ],
  ['written through', { cache: 'writethrough', clusterSize: 8 * KiB }],
]

const storages: [string, (name: string) => () => WritableStorage][] = [
  ['memory', () => constant(memory())],
  ['a file', (name) => () => nodeFile(file(name), { create: true })],
  ['a synchronous file', (name) => () => nodeFile(file(name), { create: true, sync: true })],
  ['a slow file', (name) => () => delayed(nodeFile(file(name), { create: true }))],
]

function constant<T>(value: T): () => T {
  return () => value
}

describe.each(storages)('over %s', (kind, storageOf) => {
  it.each(shapes)('an image %s is what its requests made of it', async (name, options) => {
    // A seed from outside repeats, or varies, what happens here.
    const seed = Number(process.env.WRITING_SEED ?? 1)
    const random = new Random(seed)
    const path = `${kind}-${name}.qcow2`.replaceAll(' ', '-')
    const storage = storageOf(path)
    const { cache, cacheSize } = options
    const image = await Qcow2.create(storage(), { size, ...options })
    const { clusterSize } = await image.info()
    const expected = new Uint8Array(size)
    const model = new Model(random, storage, image, expected, clusterSize)
    for (let round = 0; round < 25; round += 1) {
      await model.round((again) => Qcow2.open(again, { writable: true, cache, cacheSize }))
    }
    await model.close()
    const held = storage() as Partial<Memory>
    if (held.bytes) save(path, held.bytes())
    qemuImg('check', '-q', path)
    expect(difference(disk(path), expected), `seed ${seed}`).toBe(-1)
    rmSync(file(path))
  })
})
