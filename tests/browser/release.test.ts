import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Source } from '../../src/js/index.js'
import { contents, convert, file } from '../js/helpers/qemu.js'
import { browserName } from './drivers/chosen.js'
import { StorageLab, type Work } from './storage-lab.js'

const MiB = 1024 * 1024
const lab = new StorageLab()
beforeAll(async () => {
  convert('image.qcow2', contents(MiB, 31))
  lab.beside.set('/image.qcow2', file('image.qcow2'))
  lab.beside.set('/probe.js', probe)
  await lab.start()
})
afterAll(() => lab.stop())

/** A worker of the test's own, which counts what it holds for the page: see `probe.js`. */
const probe = new URL('./probe-worker.js', import.meta.url).pathname

/** What is alive after everything was collected that can be. */
interface Alive {
  readonly noted: number
  readonly alive: number
}

/** Uses the package in each way several times, and counts what is alive of all that it was given and has given. */
const countAlive: Work<[], Record<string, Alive>> = async ({ convert, http, isQcow2Error, memory, Qcow2 }) => {
  const { gc } = globalThis as unknown as { gc(): void }
  const bytes = new Uint8Array(await (await fetch('/image.qcow2')).arrayBuffer())
  const onlyInPages = typeof document === 'object'
  let noted: WeakRef<object>[] = []
  const note = <T extends object>(object: T): T => {
    noted.push(new WeakRef(object))
    return object
  }
  const asynchronous = () => ({
    size: () => bytes.length,
    read: async (offset: number, length: number) => bytes.slice(offset, offset + length),
  })
  const read = async (source: Source, options: { worker?: boolean } = {}) => {
    const image = note(await Qcow2.open(source, options))
    await image.read(0, image.size)
    await image.map().next()
    await image.readable().getReader().read()
    await image.close()
  }
  const fails = async (promise: Promise<unknown>) => {
    const error = await promise.catch((error) => error)
    if (!isQcow2Error(error)) throw new Error('It did not fail.')
  }
  const uses: Record<string, () => Promise<unknown>> = {
    memory: () => read(note(memory(bytes))),
    'an asynchronous storage': () => read(note(asynchronous())),
    'a Blob': () => read(note(new Blob([bytes]))),
    'a server': () => read(note(http(new URL('/image.qcow2', location.href).href, { download: true }))),
    'what is no image': () => fails(Qcow2.open(note(memory(new Uint8Array(1000))))),
    'a conversion': () => convert(note(memory(bytes)), note(memory()), { compressed: true, workers: 1 }),
    ...(onlyInPages && {
      'memory, with the engine in a worker': () => read(note(memory(bytes)), { worker: true }),
      'a storage of the page, with the engine in a worker': () => read(note(asynchronous()), { worker: true }),
      'a Blob, with the engine in a worker': () => read(note(new Blob([bytes])), { worker: true }),
      'what is no image, in a worker': () => fails(Qcow2.open(note(memory(new Uint8Array(1000))), { worker: true })),
      'a new image in a worker': async () => {
        const image = note(await Qcow2.create(note(memory()), { size: bytes.length, worker: true }))
        await image.write(0, bytes)
        await image.snapshots.create('one')
        const snapshot = note(await image.snapshots.open('one'))
        await image.close()
        await snapshot.close()
      },
    }),
  }
  const seen: Record<string, Alive> = {}
  for (const [name, use] of Object.entries(uses)) {
    noted = []
    for (let round = 0; round < 5; round += 1) await use()
    let alive = noted.length
    for (let round = 0; round < 20 && alive > 0; round += 1) {
      await new Promise((resolve) => setTimeout(resolve))
      gc()
      alive = noted.filter((each) => each.deref()).length
    }
    seen[name] = { noted: noted.length, alive }
  }
  return seen
}

// What is collected can be told of this browser only.
describe.runIf(browserName === 'chromium')('nothing keeps what is closed alive', () => {
  it('on the page', async () => {
    expectNone(await lab.onPage(countAlive))
  })

  it('in a worker', async () => {
    expectNone(await lab.inWorker(countAlive))
  })

  it('in the worker that has the engine', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }) => {
      const bytes = new Uint8Array(await (await fetch('/image.qcow2')).arrayBuffer())
      const worker = new Worker('/probe.js', { type: 'module' })
      const counts = () =>
        new Promise<{ blobs: number; alive: number; references: number; memory: number }>((resolve) => {
          worker.addEventListener('message', ({ data }) => data.probe && resolve(data.probe), { once: true })
          worker.postMessage({ probe: true })
        })
      const use = async () => {
        for (const source of [new Blob([bytes]), memory(bytes)]) {
          const image = await Qcow2.open(source, { worker })
          await image.read(0, image.size)
          await image.map().next()
          await image.readable().getReader().read()
          await image.close()
        }
        await Qcow2.open(new Blob([new Uint8Array(1000)]), { worker }).catch(() => {})
      }
      for (let round = 0; round < 3; round += 1) await use()
      const before = await counts()
      for (let round = 0; round < 10; round += 1) await use()
      const after = await counts()
      worker.terminate()
      return { before, after }
    })
    const { before, after } = seen
    expect([before.alive, after.alive]).toEqual([0, 0])
    expect(after.blobs).toBe(26)
    expect([after.references, after.memory]).toEqual([before.references, before.memory])
  })
})

function expectNone(seen: Record<string, Alive>): void {
  for (const [name, { noted, alive }] of Object.entries(seen)) {
    expect([name, noted >= 5, alive]).toEqual([name, true, 0])
  }
}
