import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { useServedLab } from './storage-lab.js'

const { lab, server } = useServedLab(readFileSync(convert('image.qcow2', contents(3 * 1024 * 1024, 5), '-c')))

describe.each([
  ['on the page', false],
  ['in a worker', true],
])('an engine %s', (_, worker) => {
  it('fills the arrays that it is given, whatever their lengths', async () => {
    const wrong = await lab.onPage(
      async ({ http, Qcow2 }, worker, url) => {
        const image = await Qcow2.open(http(url), { worker })
        const whole = await image.read(0, image.size)
        const wrong: number[] = []
        const lengths = [1, 4096, 65536, 0, 65537]
        for (let round = 0; round < 40; round += 1) {
          const reads = lengths.map(async (length, index) => {
            const offset = (round * 70_001 + index * 500_009) % (image.size - length)
            const room = new Uint8Array(length + 2).fill(round)
            const into = room.subarray(1, length + 1)
            await image.readInto(offset, into)
            const same = into.every((byte, at) => byte === whole[offset + at])
            if (!same || room[0] !== round || room[length + 1] !== round) wrong.push(offset)
          })
          await Promise.all(reads)
        }
        await image.close()
        return wrong
      },
      worker,
      server.url,
    )
    expect(wrong).toEqual([])
  })

  it.runIf(hasOpfs)('fails with errors that have all details', async () => {
    const seen = await lab.onPage(async (qcow2, worker) => {
      const { blob, isQcow2Error, memory, opfs, Qcow2, Qcow2Error } = qcow2
      const seen: unknown[] = []
      const note = async (work: () => unknown) => {
        try {
          await work()
          seen.push('nothing')
        } catch (error) {
          if (!isQcow2Error(error)) seen.push(error)
          else {
            const { code, reason, offset, cause, name } = error
            seen.push([code, offset, error instanceof Qcow2Error, name, reason.length > 10, String(cause)])
          }
        }
      }
      const file = memory()
      const image = await Qcow2.create(file, { size: 65536 * 4, worker })
      await note(() => image.read(65536 * 4 - 1, 2))
      await note(() => image.read(0, 'two' as never))
      await note(() => image.write(0, 'two' as never))
      await note(() => image.resize(512))
      await note(() => image.snapshots.apply('none'))
      await note(() => image.snapshots.open('none'))
      await note(() => image.diff('none').next())
      await note(() => Qcow2.open(file, { worker }))
      await image.close()
      await note(() => image.read(0, 1))
      await note(() => image.map().next())
      await note(() => image.info())
      await note(() => Qcow2.create(memory(new Uint8Array(9)), { size: 1, worker }))
      await note(() => Qcow2.create(memory(), { size: 1, clusterSize: 3, worker }))
      await note(() => Qcow2.create(memory(), { size: 'x' as never, worker }))
      await note(() => Qcow2.open('disk.qcow2' as never, { worker }))
      await note(() => Qcow2.open(blob(new Blob(['no image'])), { worker }))
      await note(() => Qcow2.open(blob(new Blob(['x'])), { worker, writable: true }))
      await note(() => Qcow2.open(opfs('missing'), { worker }))
      const damaged = file.bytes().slice()
      const view = new DataView(damaged.buffer)
      // An entry of the L1 table that points between two clusters.
      view.setBigUint64(view.getUint32(44), (1n << 63n) | 512n)
      const broken = await Qcow2.open(memory(damaged), { worker })
      await note(() => broken.read(0, 1))
      await broken.close()
      const failing = (thrown: unknown) => ({ size: () => 100, read: () => Promise.reject(thrown) })
      await note(() => Qcow2.open(failing(new RangeError('own')), { worker }))
      await note(() => Qcow2.open(failing(new DOMException('full', 'QuotaExceededError')), { worker }))
      await note(() => Qcow2.open(failing(new Qcow2Error('NOT_PERMITTED', 'The user does not want it.')), { worker }))
      await note(() => Qcow2.open({ size: () => 100, read: async () => new Uint8Array(3) }, { worker }))
      return seen
    }, worker)
    const error = (code: string, offset?: unknown, cause = 'undefined') =>
      [code, offset, true, 'Qcow2Error', true, cause] as const
    expect(seen).toEqual([
      error('OUT_OF_BOUNDS', 65536 * 4 - 1),
      error('INVALID_ARGUMENT'),
      error('INVALID_ARGUMENT'),
      error('WOULD_SHRINK'),
      ...Array(3).fill(error('NO_SUCH_SNAPSHOT')),
      error('IN_USE'),
      ...Array(3).fill(error('CLOSED')),
      error('NOT_EMPTY'),
      error('BAD_OPTIONS'),
      error('INVALID_ARGUMENT'),
      error('INVALID_ARGUMENT'),
      error('NOT_QCOW2'),
      error('READ_ONLY'),
      error('STORAGE', undefined, expect.stringMatching(/^NotFoundError: /)),
      error('CORRUPT_L1_ENTRY', expect.any(Number)),
      error('STORAGE', 0, 'RangeError: own'),
      error('QUOTA', 0, 'QuotaExceededError: full'),
      error('NOT_PERMITTED'),
      error('STORAGE_CONTRACT'),
    ])
  })

  it('releases what is aborted, with the reason', async () => {
    const seen = await lab.onPage(async ({ blob, isQcow2Error, memory, Qcow2 }, worker) => {
      const file = memory()
      const made = await Qcow2.create(file, { size: 1_000_000 })
      made.writeSync(0, new Uint8Array(1_000_000).fill(1))
      await made.close()
      const seen: unknown[] = []
      const reason = new Error('enough')
      const is = (error: unknown) => (error === reason ? 'the reason' : String(error))
      let hanging = false
      const waits: (() => void)[] = []
      const stuck = {
        size: () => file.size(),
        open: () => void seen.push('opened'),
        close: () => void seen.push('closed'),
        async read(offset: number, length: number, { signal }: { signal: AbortSignal }) {
          if (hanging) {
            for (const wait of waits.splice(0)) wait()
            await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
            seen.push('the storage knows')
          }
          return file.bytes().slice(offset, offset + length)
        },
      }
      const asked = () => new Promise<void>((resolve) => waits.push(resolve))
      await Qcow2.open(blob(new Blob()), { signal: AbortSignal.abort(reason), worker }).catch((error) =>
        seen.push(is(error)),
      )
      const image = await Qcow2.open(stuck, { worker })
      hanging = true
      for (const start of [
        (signal: AbortSignal) => image.read(0, 1000, { signal }),
        (signal: AbortSignal) => image.map({ signal }).next(),
        (signal: AbortSignal) => image.readable({ offset: 500_000, signal }).getReader().read(),
      ]) {
        const controller = new AbortController()
        const under = asked()
        const pending = start(controller.signal)
        await under
        controller.abort(reason)
        seen.push(await pending.then(() => 'done', is))
      }
      const closing = asked()
      const left = image.read(0, 1000)
      await closing
      await Promise.all([
        left.catch((error) => seen.push(isQcow2Error(error) && error.code)),
        image.close().then(() => seen.push(image.closed)),
      ])
      // Opening is over when all is closed again.
      const controller = new AbortController()
      const under = asked()
      const opening = Qcow2.open(stuck, { signal: controller.signal, worker })
      await under
      controller.abort(reason)
      seen.push(await opening.then(() => 'done', is))
      seen.push(await Qcow2.open(stuck, { signal: AbortSignal.abort(reason), worker }).then(() => 'done', is))
      return seen
    }, worker)
    expect(seen.filter((each) => each === 'the reason')).toHaveLength(6)
    expect(seen.filter((each) => each === 'the storage knows')).toHaveLength(5)
    expect(seen).toContain('CLOSED')
    expect(seen.filter((each) => each === 'opened').length).toBe(seen.filter((each) => each === 'closed').length)
  })

  it('ends what its progress callback does not want, with what that throws', async () => {
    const seen = await lab.onPage(async ({ check, memory, Qcow2 }, worker) => {
      const file = memory()
      const image = await Qcow2.create(file, { size: 1_000_000, worker })
      const thrown = new Error('no more')
      const onProgress = () => {
        throw thrown
      }
      const told = await image.check({ onProgress }).catch((error) => error === thrown)
      const created = await image.snapshots.create('x', { onProgress }).catch((error) => error === thrown)
      const left = (await image.snapshots.list()).length
      await image.close()
      return [told, created, left <= 1, await check(file, { onProgress, worker }).catch((error) => error === thrown)]
    }, worker)
    expect(seen).toEqual([true, true, true, true])
  })

  it('reads no further ahead than four chunks, and takes a state as fast as it is written', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }, worker) => {
      const image = await Qcow2.create(memory(), { size: 64 * 65536, worker })
      await image.write(0, new Uint8Array(64 * 65536).fill(1))
      let done = 0
      const stream = image.readable({ chunkSize: 65536, onProgress: (progress) => (done = progress.done) })
      const reader = stream.getReader()
      const ahead: number[] = []
      for (let taken = 1; taken <= 64; taken += 1) {
        await reader.read()
        // Whatever it would do meanwhile is done.
        for (let turn = 0; turn < 5; turn += 1) await image.read(0, 1)
        ahead.push(done / 65536 - taken)
      }
      let pulled = 0
      let written = 0
      const vmState = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            pulled += 1
            controller.enqueue(new Uint8Array(65536))
            if (pulled === 20) controller.close()
          },
        },
        { highWaterMark: 0 },
      )
      const taken = await image.snapshots.create('state', { vmState })
      written = taken.vmStateSize
      await image.close()
      return [Math.max(...ahead), pulled, written]
    }, worker)
    expect(seen[0]).toBeLessThanOrEqual(4)
    expect(seen.slice(1)).toEqual([20, 20 * 65536])
  })
})
