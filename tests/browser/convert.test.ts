import { expect, it } from 'vitest'
import { check, contents, qemuImg, save } from '../js/helpers/qemu.js'
import { useServedLab } from './storage-lab.js'

const bytes = contents(12 * 2 ** 20 + 512, 9)
const raw = save('source.raw', bytes)
const { lab, server } = useServedLab(bytes)

it.each([
  ['zlib', 65536],
  ['zstd', 65536],
  ['zlib', 4096],
  ['zstd', 2 ** 21],
] as const)(
  'workers pack by %s, clusters of %d bytes, what comes out without them too',
  async (compression, clusterSize) => {
    const started = await lab.onPage(
      async ({ convert, http, opfs, Qcow2 }, url, compression, clusterSize) => {
        // Keeps the one worker that serves the files running, so that only packers are counted.
        const held = await Qcow2.create(opfs('held.qcow2', { create: true }), {
          size: 65536,
          overwrite: true,
        })
        const Native = globalThis.Worker
        let started = 0
        globalThis.Worker = class extends Native {
          constructor(...args: ConstructorParameters<typeof Worker>) {
            super(...args)
            started += 1
          }
        }
        const counts: number[] = []
        for (const workers of [0, 2, 3]) {
          const name = `${workers}.qcow2`
          started = 0
          const options = {
            compressed: true,
            compression,
            clusterSize,
            workers,
            overwrite: true,
            sourceFormat: 'raw',
          } as const
          await convert(http(url), opfs(name, { create: true }), options)
          counts.push(started)
          await fetch(`/${name}`, { method: 'PUT', body: await opfs.file(name) })
        }
        globalThis.Worker = Native
        await held.close()
        return counts
      },
      server.url,
      compression,
      clusterSize,
    )
    expect(started).toEqual([0, 2, 3])
    const [none = '', ...some] = [0, 2, 3].map((workers) => lab.file(`${workers}.qcow2`))
    qemuImg('compare', '-q', '-f', 'raw', '-F', 'qcow2', raw, none)
    expect(check(none)).toBe('clean')
    // Byte by byte, as raw files.
    for (const other of some) qemuImg('compare', '-q', '-s', '-f', 'raw', '-F', 'raw', none, other)
  },
)

it('the engine of the new image may be in a worker, and the conversion too', async () => {
  await lab.onPage(async ({ convert, http, memory, opfs, Qcow2 }, url) => {
    const once = memory()
    await convert(http(url), once, { sourceFormat: 'raw' })
    const image = await Qcow2.open(once, { worker: true })
    const options = { compressed: true, worker: true, workers: 2 } as const
    await convert(image, opfs('there.qcow2', { create: true }), options)
    await image.close()
    await fetch('/there.qcow2', { method: 'PUT', body: await opfs.file('there.qcow2') })
  }, server.url)
  await lab.inWorker(async ({ convert, http, opfs }, url) => {
    await convert(http(url), opfs('inside.qcow2', { create: true }), { sourceFormat: 'raw', compressed: true })
    await fetch('/inside.qcow2', { method: 'PUT', body: await opfs.file('inside.qcow2') })
  }, server.url)
  for (const name of ['there.qcow2', 'inside.qcow2']) {
    expect(check(lab.file(name))).toBe('clean')
    qemuImg('compare', '-q', '-f', 'raw', '-F', 'qcow2', raw, lab.file(name))
  }
})

it('a worker that dies, and an abort, end it; the target is empty, and free', async () => {
  const seen = await lab.onPage(async ({ convert, http, isQcow2Error, memory }, url) => {
    const Native = globalThis.Worker
    const workers: Worker[] = []
    globalThis.Worker = class extends Native {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args)
        workers.push(this)
      }
    }
    const stop = new AbortController()
    const ends = [
      () => workers[1]?.terminate(),
      () => workers.at(-1)?.terminate(),
      () => stop.abort(new Error('enough')),
    ]
    const target = memory()
    const seen: unknown[] = []
    for (const end of ends) {
      let ended = false
      const onProgress = ({ done }: { done: number }) => {
        if (done > 0 && !ended) end()
        ended = done > 0
      }
      const options = { compressed: true, workers: 2, signal: stop.signal, onProgress, sourceFormat: 'raw' } as const
      const error = await convert(http(url), target, options).catch((error) => error)
      seen.push([isQcow2Error(error) ? error.code : error.message, target.size()])
    }
    await convert(http(url), target, { sourceFormat: 'raw', compressed: true, workers: 2 })
    return [seen, target.size() > 1_000_000, workers.length]
  }, server.url)
  expect(seen).toEqual([
    [
      ['WORKER_DIED', 0],
      ['WORKER_DIED', 0],
      ['enough', 0],
    ],
    true,
    8,
  ])
})

it('a conversion keeps two segments for each worker that compresses, however slow the target is', async () => {
  const most = await lab.onPage(async ({ convert, memory }) => {
    const size = 32 * 2 ** 20
    let [read, written, most] = [0, 0, 0]
    // Bytes that cannot be compressed.
    const random = () => crypto.getRandomValues(new Uint8Array(65536))
    const source = {
      size: () => size,
      read: async (_: number, length: number) => {
        read += length
        most = Math.max(most, read - written)
        const bytes = new Uint8Array(length)
        for (let at = 0; at + 65536 <= length; at += 65536) bytes.set(random(), at)
        return bytes
      },
    }
    const file = memory()
    const target = {
      size: () => file.size(),
      read: async (offset: number, length: number) => {
        const bytes = new Uint8Array(length)
        file.readSync(offset, bytes)
        return bytes
      },
      write: async (offset: number, bytes: Uint8Array) => {
        const { port1, port2 } = new MessageChannel()
        for (let turn = 0; turn < 20; turn += 1) {
          await new Promise((resolve) => {
            port1.onmessage = resolve
            port2.postMessage(0)
          })
        }
        port1.close()
        file.writeSync(offset, bytes)
        written += bytes.length
      },
      truncate: async (to: number) => file.truncateSync(to),
      flush: async () => {},
    }
    await convert(source, target, { sourceFormat: 'raw', compressed: true, workers: 3 })
    return most
  })
  expect(most).toBeLessThanOrEqual(2 * 3 * 2 ** 20)
  expect(most).toBeGreaterThan(3 * 2 ** 20)
})
