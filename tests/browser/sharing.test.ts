import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { browserName, hasOpfs, pagesTogether } from './drivers/chosen.js'
import { inWorker, onPage, StorageLab, type Work } from './storage-lab.js'

const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

type Kind = 'opfs' | 'idb'

/** Makes an image that stays open, with something in it that is not flushed, and lets go of it when it is asked to. */
const own: Work<[Kind, boolean], boolean> = async (qcow2, kind, willing) => {
  const options = { create: true, ...(willing && { onTakeOver: (image: { close(): Promise<void> }) => image.close() }) }
  const name = `${kind} ${willing}`
  const storage = kind === 'opfs' ? qcow2.opfs(name, options) : qcow2.idb(name, options)
  const image = await qcow2.Qcow2.create(storage, { size: 1_000_000 })
  await image.write(1000, new Uint8Array([1, 2, 3]))
  Object.assign(globalThis, { image })
  return !image.readOnly
}

/** Opens it from elsewhere; what it reads there, or the code of the error. */
const want: Work<[Kind, boolean, object], string> = async (qcow2, kind, willing, options) => {
  const name = `${kind} ${willing}`
  const storage = kind === 'opfs' ? qcow2.opfs(name, options) : qcow2.idb(name, options)
  try {
    const image = await qcow2.Qcow2.open(storage, { writable: true })
    const bytes = await image.read(1000, 3)
    await image.close()
    return bytes.join()
  } catch (error) {
    return qcow2.isQcow2Error(error) ? error.code : String(error)
  }
}

describe.each(hasOpfs ? (['opfs', 'idb'] as const) : (['idb'] as const))(
  'an image of %s() that is open in a tab',
  (kind) => {
    it('is in use in another, which may ask in vain', async () => {
      const [first, second] = [await lab.page(), await lab.page()]
      expect(await onPage(first, own, kind, false)).toBe(true)
      expect(await onPage(second, want, kind, false, {})).toBe('IN_USE')
      expect(await inWorker(second, want, kind, false, {})).toBe('IN_USE')
      expect(await onPage(second, want, kind, false, { takeOver: true })).toBe('IN_USE')
      await onPage(first, async () => {
        await (globalThis as unknown as { image: { close(): Promise<void> } }).image.close()
      })
      expect(await onPage(second, want, kind, false, {})).toBe('1,2,3')
      for (const page of [first, second]) await page.close()
    })

    it.each(['page', 'worker'])('is taken over by the %s of another, with all that was written', async (where) => {
      const [first, second] = [await lab.page(), await lab.page()]
      await onPage(
        first,
        async (qcow2, kind) => {
          if (kind === 'opfs') await qcow2.opfs.delete('opfs true').catch(() => {})
          else await qcow2.idb.delete('idb true')
        },
        kind,
      )
      await onPage(first, own, kind, true)
      expect(await onPage(second, want, kind, true, {})).toBe('IN_USE')
      const run = where === 'page' ? onPage : inWorker
      expect(await run(second, want, kind, true, { takeOver: true })).toBe('1,2,3')
      const closed = await onPage(first, () => (globalThis as unknown as { image: { closed: boolean } }).image.closed)
      expect(closed).toBe(true)
      for (const page of [first, second]) await page.close()
    })

    it.each([
      ['on the page', false],
      ['in a worker', true],
    ])('is let go too by an owner that was asked before it was open, with the engine %s', async (_, worker) => {
      const [first, second] = [await lab.page(), await lab.page()]
      const began = await onPage(
        first,
        async ({ idb, isQcow2Error, opfs, Qcow2 }, kind, worker) => {
          const name = `${kind} early ${worker}`
          const make = (options: object) =>
            kind === 'opfs' ? opfs(name, { create: true, ...options }) : idb(name, options)
          const made = await Qcow2.create(make({}), { size: 1000, backing: { name: 'base', format: 'raw' } })
          await made.close()
          const open = async () => {
            // It is not open before somebody asks for the file: the base never comes.
            const backing = () => new Promise<null>(() => {})
            const storage = make({ onTakeOver: (image: { close(): Promise<void> }) => image.close() })
            const image = await Qcow2.open(storage, { writable: true, backing, worker })
            return image
          }
          const opening = open().catch((error) => (isQcow2Error(error) ? error.code : String(error)))
          Object.assign(globalThis, { opening })
          for (;;) {
            const { held = [] } = await navigator.locks.query()
            if (held.some((each) => each.name?.includes(`early ${worker} (lets go)`))) return 'opening'
          }
        },
        kind,
        worker,
      )
      expect(began).toBe('opening')
      const taken = await onPage(
        second,
        async ({ idb, opfs }, kind, worker) => {
          const name = `${kind} early ${worker}`
          const storage = kind === 'opfs' ? opfs(name, { takeOver: true }) : idb(name, { takeOver: true })
          await storage.open?.({ writable: true })
          const size = await storage.size()
          await storage.close?.()
          return size > 0
        },
        kind,
        worker,
      )
      expect(taken).toBe(true)
      expect(await onPage(first, () => (globalThis as unknown as { opening: Promise<unknown> }).opening)).toBe('IN_USE')
      for (const page of [first, second]) await page.close()
    })

    it.runIf(pagesTogether).each([
      ['lets go', true],
      ['does not let go', false],
    ])(
      'that two others want is had by the one, who %s, before the other',
      async (_, lets) => {
        const pages = [await lab.page(), await lab.page(), await lab.page()] as const
        const take: Work<[Kind, boolean, boolean], string> = async (
          { idb, isQcow2Error, opfs },
          kind,
          takeOver,
          lets,
        ) => {
          const onTakeOver = async (): Promise<void> => storage.close?.()
          const options = { takeOver, create: true, ...(lets && { onTakeOver }) }
          const storage = kind === 'opfs' ? opfs(`wanted ${lets}`, options) : idb(`wanted ${lets}`, options)
          return Promise.resolve(storage.open?.({ writable: true })).then(
            () => 'taken',
            (error) => (isQcow2Error(error) ? error.code : String(error)),
          )
        }
        /** Waits until so many want the file. */
        const queue: Work<[number], number> = async (_, length) => {
          const { locks } = navigator
          for (;;) {
            const { pending = [] } = await locks.query()
            if (pending.filter(({ name }) => name?.includes('wanted')).length === length) return length
          }
        }
        // Whoever has it first lets go when there are two that want it.
        const first = await onPage(
          pages[0],
          async ({ idb, opfs }, kind, lets) => {
            const onTakeOver = async () => {
              for (;;) {
                const { pending = [] } = await navigator.locks.query()
                if (pending.filter(({ name }) => name?.includes('wanted')).length === 2) break
              }
              await storage.close?.()
            }
            const options = { create: true, onTakeOver }
            const storage = kind === 'opfs' ? opfs(`wanted ${lets}`, options) : idb(`wanted ${lets}`, options)
            await storage.open?.({ writable: true })
            return 'taken'
          },
          kind,
          lets,
        )
        const second = onPage(pages[1], take, kind, true, lets)
        await onPage(pages[2], queue, 1)
        const third = onPage(pages[2], take, kind, true, lets)
        expect([first, await second, await third]).toEqual(['taken', 'taken', lets ? 'taken' : 'IN_USE'])
        for (const page of pages) await page.close()
      },
      30_000,
    )

    it('whose owner does not come to it is not waited for longer than one wants', async () => {
      const [first, second] = [await lab.page(), await lab.page()]
      const seen = await onPage(
        first,
        async (qcow2, kind) => {
          const options = { create: true, onTakeOver: () => {} }
          const storage = kind === 'opfs' ? qcow2.opfs('slow', options) : qcow2.idb('slow', options)
          await storage.open?.({ writable: true })
          Object.assign(globalThis, { storage })
          return 'open'
        },
        kind,
      )
      expect(seen).toBe('open')
      const waited = await onPage(
        second,
        async (qcow2, kind) => {
          const options = { takeOver: true, signal: AbortSignal.timeout(300) }
          const storage = kind === 'opfs' ? qcow2.opfs('slow', options) : qcow2.idb('slow', options)
          return Promise.resolve(storage.open?.({ writable: true })).then(String, (error) => error.name)
        },
        kind,
      )
      expect(waited).toBe('TimeoutError')
      for (const page of [first, second]) await page.close()
    })
  },
)

it.runIf(hasOpfs)('files of both kinds are distinguished, and named where they are in use', async () => {
  const both: Work<[], string> = async ({ idb, opfs }) => {
    const [one, two, again] = [opfs('x', { create: true }), idb('opfs/x'), idb('opfs/x')]
    await one.open?.({ writable: true })
    await two.open?.({ writable: true })
    const refused = await Promise.resolve(again.open?.({ writable: true })).then(String, ({ reason }) => reason)
    await two.close?.()
    await one.close?.()
    return refused
  }
  expect(await lab.onPage(both)).toBe('The file opfs/x is in use: by another tab, worker or storage.')
})

it('the package reports what the browser has, and where a file is best', async () => {
  const look: Work<[], unknown> = async ({ bestStorage, capabilities, estimate, persist }) => {
    const { kind, storage } = await bestStorage('best')
    await storage.open?.({ writable: true })
    const size = await storage.size()
    await storage.close?.()
    const room = await estimate()
    return {
      has: await capabilities(),
      best: [kind, size, 'readSync' in storage],
      room: room && room.quota > room.usage && typeof room.persisted,
      persist: typeof (globalThis.document ? await persist() : false),
    }
  }
  const has = { opfs: hasOpfs, idb: true, locks: true }
  const same = { room: hasOpfs ? 'boolean' : undefined, persist: 'boolean' }
  const kind = hasOpfs ? 'opfs' : 'idb'
  expect(await lab.onPage(look)).toEqual({
    has: { ...has, opfsSync: false, filePicker: browserName === 'chromium' },
    best: [kind, 0, false],
    ...same,
  })
  expect(await lab.inWorker(look)).toEqual({
    has: { ...has, opfsSync: hasOpfs, filePicker: false },
    best: [kind, 0, hasOpfs],
    ...same,
  })
})

it.runIf(hasOpfs)('where the file system refuses, IndexedDB is best', async () => {
  const without: Work<[], unknown> = async ({ bestStorage, capabilities }) => {
    // As private windows do.
    Object.defineProperty(navigator.storage, 'getDirectory', { value: () => Promise.reject(new Error('private')) })
    const { kind } = await bestStorage('best')
    const { opfs } = await capabilities()
    return { kind, opfs }
  }
  expect(await lab.onPage(without)).toEqual({ kind: 'idb', opfs: false })
})
