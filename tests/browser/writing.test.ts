import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { check, disk } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

type Kind = 'opfs' | 'idb' | 'fileHandle'

/** Makes an image and changes it at random, with reopenings between; then puts it and what it should hold to the server. */
const play: Work<[Kind, string, object & { worker?: boolean }, number], string> = async (
  qcow2,
  kind,
  name,
  options,
  seed,
) => {
  const { fileHandle, idb, opfs, Qcow2 } = qcow2
  const storage = async () => {
    if (kind === 'opfs') return opfs(name, { create: true })
    if (kind === 'idb') return idb(name)
    const root = await navigator.storage.getDirectory()
    return fileHandle(await root.getFileHandle(name, { create: true }))
  }
  let state = seed
  const below = (limit: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
  const size = 4 * 1024 * 1024
  const model = new Uint8Array(size)
  let image = await Qcow2.create(await storage(), { size, ...options })
  const change = async () => {
    const offset = below(size)
    const length = Math.min(below(3) === 0 ? below(300_000) : below(5_000), size - offset)
    const what = below(4)
    if (what < 3) {
      const bytes = new Uint8Array(length).fill(1 + below(255))
      model.set(bytes, offset)
      if (image.sync && what === 0) image.writeSync(offset, bytes)
      else await image.write(offset, bytes)
    } else {
      model.fill(0, offset, offset + length)
      await image.writeZeroes(offset, length, { unmap: below(2) === 0 })
    }
  }
  const compare = async (when: string) => {
    const bytes = await image.read(0, size)
    const at = bytes.findIndex((byte, index) => byte !== model[index])
    if (at >= 0) throw new Error(`${when}: ${bytes[at]} at ${at}, not ${model[at]}`)
  }
  for (let round = 0; round < 6; round += 1) {
    for (let step = 0; step < 15; step += 1) await change()
    // Several at once, each in a part of its own.
    const part = size / 8
    const all = Array.from({ length: 8 }, (_, index) => {
      const bytes = new Uint8Array(below(part)).fill(1 + below(255))
      model.set(bytes, index * part)
      return image.write(index * part, bytes)
    })
    await Promise.all(all)
    await compare(`round ${round}`)
    if (below(2) === 0) await image.flush()
    if (below(2) === 0) {
      await image.close()
      image = await Qcow2.open(await storage(), { writable: true, worker: options.worker })
      await compare(`round ${round}, reopened`)
    }
  }
  await image.close()
  const file = await storage()
  await file.open?.()
  const length = await file.size()
  const bytes = new Uint8Array(length)
  if ('readSync' in file) file.readSync(0, bytes)
  else bytes.set(await file.read(0, length, new AbortController()))
  await file.close?.()
  await fetch(`/${name}.qcow2`, { method: 'PUT', body: bytes })
  await fetch(`/${name}.raw`, { method: 'PUT', body: model })
  return kind === 'opfs' && image.sync ? 'synchronous' : 'asynchronous'
}

const cases = [
  ['opfs', 'page', {}, 'asynchronous'],
  ['opfs', 'worker', {}, 'synchronous'],
  ['opfs', 'worker', { clusterSize: 512, cache: 'writethrough' }, 'synchronous'],
  ['idb', 'page', { extendedL2: true }, 'asynchronous'],
  ['fileHandle', 'page', { clusterSize: 4096 }, 'asynchronous'],
  ['opfs', 'page', { worker: true, clusterSize: 2048, extendedL2: false }, 'asynchronous'],
  ['idb', 'page', { worker: true, refcountBits: 1, compression: 'zstd' }, 'asynchronous'],
  ['fileHandle', 'page', { worker: true, lazyRefcounts: true, version: 3 }, 'asynchronous'],
] as const

it.each(cases.filter(([kind]) => kind === 'idb' || hasOpfs))(
  'an image written over %s() on a %s is what QEMU reads (%o)',
  async (kind, where, options, how) => {
    const name = `${kind}-${where}-${Object.keys(options).length}`
    const run = where === 'page' ? lab.onPage.bind(lab) : lab.inWorker.bind(lab)
    expect(await run(play, kind, name, options, 4711 + name.length)).toBe(how)
    const image = lab.file(`${name}.qcow2`)
    expect(check(image)).toBe('clean')
    expect(Buffer.compare(disk(image), readFileSync(lab.file(`${name}.raw`)))).toBe(0)
  },
  120_000,
)
