import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasOpfs } from './drivers/chosen.js'
import { onPage, StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

describe('a worker', () => {
  it.runIf(hasOpfs)('of one’s own that is ended, all that is pending fails; what was flushed is there', async () => {
    const seen = await lab.onPage(async ({ isQcow2Error, opfs, Qcow2 }) => {
      const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
      const start = () => new Worker('/worker/worker.js', { type: 'module' })
      const [first, second] = [start(), start()]
      // The worker's own messages are not the package's, nor the other way round.
      first.postMessage('hello')
      const open = { size: 1_000_000, worker: first }
      const image = await Qcow2.create(opfs('dying.qcow2', { create: true }), open)
      const other = await Qcow2.create(opfs('other.qcow2', { create: true }), open)
      const elsewhere = await Qcow2.create(opfs('elsewhere.qcow2', { create: true }), { ...open, worker: second })
      await image.write(0, new Uint8Array([1, 2, 3]))
      await image.flush()
      const walk = image.map()
      const pending = [image.write(0, new Uint8Array([4])), image.info(), walk.next(), image.snapshots.create('x')]
      const opening = Qcow2.open(opfs('dying.qcow2'), { worker: first })
      first.terminate()
      const codes = await Promise.all([...pending, opening].map((each) => each.then(() => 'done', code)))
      codes.push(await image.read(0, 1).then(() => 'done', code), await other.flush().then(() => 'done', code))
      codes.push(await image.close().then(() => 'done', code), await other.close().then(() => 'done', code))
      codes.push(await Qcow2.open(opfs('dying.qcow2'), { worker: first }).then(() => 'done', code))
      const alive = await elsewhere.read(0, 1).then(() => 'alive', code)
      await elsewhere.close()
      const again = await Qcow2.open(opfs('dying.qcow2'), { worker: true })
      const bytes = Array.from(await again.read(0, 3))
      await again.close()
      second.terminate()
      return [codes, alive, [1, 4].includes(bytes[0] ?? 0), bytes.slice(1)]
    })
    expect(seen).toEqual([Array(10).fill('WORKER_DIED'), 'alive', true, [2, 3]])
  })

  it.each([
    ['of one’s own', true, /did not start.* Give one that runs/],
    ['of the package', false, /did not start.* Try again/],
  ])('%s that has ended before it answered, opening fails; with another one it does not', async (_, own, advice) => {
    const [code, reason, size] = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }, own) => {
      // A minute is over when the test says so.
      const { setTimeout } = globalThis
      const minutes: (() => void)[] = []
      const later = (work: () => void, delay?: number) =>
        delay === 60_000 ? minutes.push(work) : setTimeout(work, delay)
      globalThis.setTimeout = later as typeof setTimeout
      const Native = globalThis.Worker
      globalThis.Worker = class extends Native {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args)
          this.terminate()
        }
      }
      const start = () => (own ? new Worker('/worker/worker.js', { type: 'module' }) : true)
      const opening = Qcow2.create(memory(), { size: 512, worker: start() })
      while (minutes.length === 0) await new Promise((resolve) => setTimeout(resolve))
      for (const over of minutes) over()
      const error = await opening.catch((error) => error)
      globalThis.Worker = Native
      const image = await Qcow2.create(memory(), { size: 512, worker: start() })
      const { size } = image
      await image.close()
      return isQcow2Error(error) ? [error.code, error.reason, size] : [String(error), '', size]
    }, own)
    expect([code, size]).toEqual(['WORKER_DIED', 512])
    expect(reason).toMatch(advice)
  })

  it('of one’s own that was ended before, opening can be aborted', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }) => {
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      worker.terminate()
      const storage = memory()
      const controller = new AbortController()
      const opening = Qcow2.create(storage, { size: 1, worker, signal: controller.signal })
      controller.abort(new Error('enough'))
      const reason = await opening.catch((error) => error.message)
      // The storage is free again.
      await (await Qcow2.create(storage, { size: 1 })).close()
      return reason
    })
    expect(seen).toBe('enough')
  })

  it('that is gone, a storage that stayed on the page is closed', async () => {
    const seen = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const file = memory()
      await (await Qcow2.create(file, { size: 65536 })).close()
      const seen: string[] = []
      const storage = {
        open: () => void seen.push('opened'),
        size: () => file.size(),
        // A part of an array that is its own.
        read: async (offset: number, length: number) => file.bytes().subarray(offset, offset + length),
        close: () => void seen.push('closed'),
      }
      const worker = new Worker('/worker/worker.js', { type: 'module' })
      const image = await Qcow2.open(storage, { worker })
      worker.terminate()
      const error = await image.read(0, 1).catch((error) => error)
      seen.push(...(isQcow2Error(error) ? [error.code, error.reason] : [String(error)]))
      await image.close()
      return [...seen, file.bytes().length > 0]
    })
    const advice = expect.stringMatching(/it ended\. Open again .* begin again/)
    expect(seen).toEqual(['opened', 'WORKER_DIED', advice, 'closed', true])
  })

  it('whose script does not come, opening fails', async () => {
    lab.withheld = /worker\/worker\.js$/
    const code = await lab.onPage(async ({ isQcow2Error, memory, Qcow2 }) => {
      const storage = memory()
      const opening = Qcow2.create(storage, { size: 1, worker: true })
      const code = await opening.catch((error) => isQcow2Error(error) && error.code)
      // The storage is free again.
      const image = await Qcow2.create(storage, { size: 1 })
      await image.close()
      return code
    })
    lab.withheld = undefined
    expect(code).toBe('WORKER_DIED')
  })

  it('whose module does not come, opening fails, and may succeed later', async () => {
    const page = await lab.page()
    lab.withheld = /\.wasm$/
    const work: Work<[], string> = async ({ isQcow2Error, memory, Qcow2 }) => {
      try {
        const image = await Qcow2.create(memory(), { size: 1, worker: true })
        await image.close()
        return 'open'
      } catch (error) {
        return isQcow2Error(error) ? error.code : String(error)
      }
    }
    const first = await onPage(page, work)
    lab.withheld = undefined
    expect([first, await onPage(page, work)]).toEqual(['LOAD_FAILED', 'open'])
    await page.close()
  })
})
