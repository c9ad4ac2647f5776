import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { hasOpfs, pagesTogether } from './drivers/chosen.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'

const { lab, server } = useServedLab(readFileSync(convert('image.qcow2', contents(1024 * 1024, 8))))

type Kind = 'opfs' | 'idb'

describe.each([
  ['on the page', false],
  ['in a worker', true],
])('the opening of an image %s that is aborted', (_, worker) => {
  it.runIf(pagesTogether).each([
    ['nothing is kept', {}],
    ['what was fetched is kept', { persistentCache: 1024 * 1024 }],
  ])('breaks off the request to a server, where %s', async (_, options) => {
    const page = await lab.page()
    const broken = new Promise<void>((broken) => {
      server.faults.push((response) => {
        response.once('close', broken)
        // It is asked by now.
        void onPage(page, () => (globalThis as unknown as { abort(): void }).abort())
      })
    })
    const seen = await onPage(
      page,
      ({ http, Qcow2 }, worker, url, options) => {
        const controller = new AbortController()
        Object.assign(globalThis, { abort: () => controller.abort(new Error('enough')) })
        const opening = Qcow2.open(http(url, options), { signal: controller.signal, worker })
        return opening.then(String, ({ message }) => message)
      },
      worker,
      server.url,
      options,
    )
    expect(seen).toBe('enough')
    await broken
    await page.close()
  })

  it('reaches a storage of the caller', async () => {
    const seen = await lab.onPage(async ({ Qcow2 }, worker) => {
      const controller = new AbortController()
      const reason = new Error('enough')
      let told: (knows: unknown) => void = () => {}
      const knows = new Promise((resolve) => {
        told = resolve
      })
      const storage = {
        size: () => 1000,
        read: async (_: number, length: number) => new Uint8Array(length),
        open({ signal }: { signal?: AbortSignal | undefined } = {}) {
          signal?.addEventListener('abort', () => told(signal.aborted))
          controller.abort(reason)
          return new Promise<void>(() => {})
        },
      }
      const opening = Qcow2.open(storage, { signal: controller.signal, worker })
      return [await opening.catch((error) => error === reason), await knows]
    }, worker)
    expect(seen).toEqual([true, true])
  })

  it.each(hasOpfs ? (['opfs', 'idb'] as const) : (['idb'] as const))(
    'no longer waits for the file of %s() that another tab has',
    async (kind) => {
      const [first, second] = [await lab.page(), await lab.page()]
      const name = `slow ${worker}`
      const hold: Work<[Kind, string], string> = async ({ idb, opfs }, kind, name) => {
        const options = { create: true, onTakeOver: () => {} }
        const storage = kind === 'opfs' ? opfs(name, options) : idb(name, options)
        await storage.open?.({ writable: true })
        Object.assign(globalThis, { storage })
        return 'open'
      }
      expect(await onPage(first, hold, kind, name)).toBe('open')
      const seen = await onPage(
        second,
        async ({ idb, opfs, Qcow2 }, worker, kind, name) => {
          const options = { takeOver: true }
          const storage = kind === 'opfs' ? opfs(name, options) : idb(name, options)
          const waiting = async (count: number) => {
            for (;;) {
              const { pending = [] } = await navigator.locks.query()
              if (pending.filter((each) => each.name?.endsWith(name)).length === count) return count
            }
          }
          const controller = new AbortController()
          const opening = Qcow2.open(storage, { signal: controller.signal, worker }).catch(({ message }) => message)
          const before = await waiting(1)
          controller.abort(new Error('enough'))
          return [before, await opening, await waiting(0)]
        },
        worker,
        kind,
        name,
      )
      expect(seen).toEqual([1, 'enough', 0])
      for (const page of [first, second]) await page.close()
    },
  )

  it.each([false, true])('no longer waits for the answer of the user (writable: %s)', async (writable) => {
    const seen = await lab.onPage(
      async ({ fileHandle, Qcow2 }, worker, writable) => {
        let asked: (() => void) | undefined
        const handle = {
          getFile: async () => new File([], 'disk.qcow2'),
          queryPermission: async () => 'prompt',
          requestPermission: () => {
            asked?.()
            return new Promise(() => {})
          },
        } as unknown as FileSystemFileHandle
        const storage = fileHandle(handle)
        const seen: string[] = []
        // Again, too.
        for (const reason of ['once', 'twice']) {
          const controller = new AbortController()
          const question = new Promise<void>((resolve) => {
            asked = resolve
          })
          const { signal } = controller
          const open = () =>
            Qcow2.open(storage, { writable, signal, worker }).catch((error) => error.code ?? error.message)
          let opening = open()
          // The file is in use until the question before is ignored.
          while ((await Promise.race([question, opening])) === 'IN_USE') opening = open()
          controller.abort(new Error(reason))
          seen.push(await opening)
        }
        return seen
      },
      worker,
      writable,
    )
    expect(seen).toEqual(['once', 'twice'])
  })
})
