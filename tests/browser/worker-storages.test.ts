import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { AsyncStorage } from '../../src/js/index.js'
import { contents, convert } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { onPage, useServedLab, type Work } from './storage-lab.js'

const bytes = contents(3 * 1024 * 1024, 5)
const { lab, server } = useServedLab(readFileSync(convert('image.qcow2', bytes, '-c')))

describe.each([
  ['on the page', false],
  ['in a worker', true],
])('an engine %s', (_, worker) => {
  it.runIf(hasOpfs)('reads every kind of storage', async () => {
    const seen = await lab.onPage(
      async (qcow2, worker, url) => {
        const { blob, draft, fileHandle, http, idb, memory, opfs, prefetched, Qcow2, readAhead, recorded } = qcow2
        const file = await (await fetch(url)).blob()
        const whole = new Uint8Array(await file.arrayBuffer())
        await opfs.import('kind', file, { overwrite: true })
        const root = await navigator.storage.getDirectory()
        const stored = idb('kind')
        await stored.open?.({ writable: true })
        if (!('read' in stored)) throw new Error('asynchronous')
        await stored.write(0, whole.slice(), new AbortController())
        await stored.flush()
        await stored.close?.()
        const list = [[0, 65536]] as const
        const storages = {
          blob: blob(file),
          draft: draft(blob(file)),
          fetchFn: http(url, { fetchFn: (address, init) => fetch(address, init) }),
          fileHandle: fileHandle(await root.getFileHandle('kind')),
          headers: http(url, { requestInit: { headers: new Headers({ accept: '*/*' }) } }),
          http: http(new URL(url), { signal: new AbortController().signal }),
          idb: stored,
          memory: memory(whole),
          opfs: opfs('kind'),
          own: { size: () => whole.length, read: async (at: number, length: number) => whole.slice(at, at + length) },
          prefetched: prefetched(http(url), list),
          prefetchedOpfs: prefetched(opfs('kind') as AsyncStorage, list),
          readAhead: readAhead(memory(whole)),
          recorded: recorded(blob(file)),
        }
        const hashes = new Map<string, string[]>()
        for (const [name, storage] of Object.entries(storages)) {
          const image = await Qcow2.open(storage, { worker })
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await image.read(0, image.size))).join()
          hashes.set(hash, [...(hashes.get(hash) ?? []), name])
          await image.close()
        }
        // What was given stays whole.
        return [[...hashes.values()], whole.length === file.size]
      },
      worker,
      server.url,
    )
    const all =
      'blob draft fetchFn fileHandle headers http idb memory opfs own prefetched prefetchedOpfs readAhead recorded'
    expect(seen).toEqual([[all.split(' ')], true])
  })

  it('writes to what stays on the page', async () => {
    const seen = await lab.onPage(async ({ draft, memory, Qcow2 }, worker) => {
      const file = memory()
      const image = await Qcow2.create(file, { size: 1_000_000, worker })
      await image.write(10, new Uint8Array([1, 2, 3]))
      await image.close()
      const edited = draft(memory(file.bytes()))
      const again = await Qcow2.open(edited, { writable: true, worker })
      await again.write(11, new Uint8Array([9]))
      await again.close()
      const both = [await Qcow2.open(file), await Qcow2.open(edited)]
      return both.map((each) => Array.from(each.readSync(9, 5)))
    }, worker)
    expect(seen).toEqual([
      [0, 1, 2, 3, 0],
      [0, 1, 9, 3, 0],
    ])
  })

  it('asks for data files, also for that of a backing file', async () => {
    const seen = await lab.onPage(async ({ memory, Qcow2 }, worker) => {
      const [base, data, top] = [memory(), memory(), memory()]
      const size = 1_000_000
      const asked: unknown[] = []
      const dataFile = (request: { name: string | undefined }) => {
        asked.push(request.name ?? null)
        return { storage: data, name: 'guest.raw', raw: true }
      }
      const below = await Qcow2.create(base, { size, dataFile, worker })
      await below.write(0, new Uint8Array([7]))
      await below.close()
      const backing = { name: 'base', format: 'qcow2', storage: () => ({ storage: base, dataFile }) } as const
      await (await Qcow2.create(top, { size, backing, worker })).close()
      const image = await Qcow2.open(top, { backing: backing.storage, worker })
      const bytes = Array.from(await image.read(0, 2))
      await image.close()
      return [asked, data.bytes()[0], bytes]
    }, worker)
    expect(seen).toEqual([[null, 'guest.raw', 'guest.raw'], 7, [7, 0]])
  })

  it('asks for backing files, by what is recorded', async () => {
    const seen = await lab.onPage(async (qcow2, worker) => {
      const { isQcow2Error, memory, Qcow2 } = qcow2
      const files = [memory(), memory(), memory()] as const
      const size = 1_000_000
      const base = await Qcow2.create(files[0], { size })
      base.writeSync(0, new Uint8Array([1]))
      await base.close()
      for (const [index, name] of ['base', 'middle'].entries()) {
        const backing = { name, format: 'qcow2', storage: files.slice(0, index + 1).reverse() } as const
        const overlay = await Qcow2.create(files[index + 1] as (typeof files)[0], { size, backing, worker })
        await overlay.write((index + 1) * 65536, new Uint8Array([2 + index]))
        await overlay.close()
      }
      const asked: unknown[] = []
      const open = async (answer: (name: string) => unknown) => {
        try {
          const backing = (request: { name: string }) => {
            asked.push(request)
            return answer(request.name) as undefined
          }
          const image = await Qcow2.open(files[2], { backing, worker })
          const bytes = await image.read(0, size)
          await image.close()
          return [bytes[0], bytes[65536], bytes[131072]]
        } catch (error) {
          if (!isQcow2Error(error)) return String(error)
          return { code: error.code, file: error.file, cause: String(error.cause) }
        }
      }
      const found = await open((name) => (name === 'base' ? { storage: files[0], format: 'qcow2' } : files[1]))
      return [
        found,
        asked,
        await open(() => null),
        await open(() => undefined),
        await open(() => 17),
        await open(() => {
          throw new TypeError('not today')
        }),
      ]
    }, worker)
    expect(seen).toEqual([
      [1, 2, 3],
      [
        { name: 'middle', format: 'qcow2', depth: 1 },
        { name: 'base', format: 'qcow2', depth: 2 },
        ...Array(4).fill({ name: 'middle', format: 'qcow2', depth: 1 }),
      ],
      [0, 0, 3],
      { code: 'MISSING_BACKING_FILE', file: { name: 'middle', format: 'qcow2' }, cause: 'undefined' },
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      expect.objectContaining({ code: 'STORAGE', cause: 'TypeError: not today' }),
    ])
  })

  it.runIf(hasOpfs)('writes over a base', async () => {
    const seen = await lab.onPage(
      async ({ http, isQcow2Error, opfs, overlay, Qcow2 }, worker, url) => {
        await opfs.delete('over').catch(() => {})
        const base = await Qcow2.create(opfs('over/base', { create: true }), { size: 65536 })
        await base.write(0, new Uint8Array([1, 1]))
        await base.close()
        const seen: unknown[] = []
        for (const round of [1, 2]) {
          for (const name of ['near', 'far']) {
            const from = name === 'near' ? opfs('over/base') : http(url)
            const image = await overlay(from, opfs(`over/${name}`, { create: true }), { worker })
            if (round === 1) await image.write(1, new Uint8Array([7]))
            seen.push(Array.from(await image.read(0, 3)))
            await image.close()
          }
        }
        const other = overlay(opfs('over/base'), opfs('over/far'), { worker })
        return [
          ...seen,
          await other.then(
            () => 'open',
            (error) => isQcow2Error(error) && error.code,
          ),
        ]
      },
      worker,
      server.url,
    )
    const [near, far] = [
      [1, 7, 0],
      [bytes[0], 7, bytes[2]],
    ]
    expect(seen).toEqual([near, far, near, far, 'FILE_CHANGED'])
  })

  it.runIf(hasOpfs)('lets another tab have its file', async () => {
    const [first, second] = [await lab.page(), await lab.page()]
    await onPage(
      first,
      async ({ opfs, Qcow2 }, worker, name) => {
        const storage = opfs(name, { create: true, onTakeOver: (image) => image.close() })
        const image = await Qcow2.create(storage, { size: 1_000_000, worker })
        await image.write(1000, new Uint8Array([1, 2, 3]))
        Object.assign(globalThis, { image })
      },
      worker,
      `shared ${worker}`,
    )
    const want: Work<[boolean, string, boolean], string> = async (
      { isQcow2Error, opfs, Qcow2 },
      worker,
      name,
      takeOver,
    ) => {
      try {
        const image = await Qcow2.open(opfs(name, { takeOver }), { writable: true, worker })
        const bytes = await image.read(1000, 3)
        await image.close()
        return bytes.join()
      } catch (error) {
        return isQcow2Error(error) ? error.code : String(error)
      }
    }
    expect(await onPage(second, want, worker, `shared ${worker}`, false)).toBe('IN_USE')
    expect(await onPage(second, want, worker, `shared ${worker}`, true)).toBe('1,2,3')
    const closed = await onPage(first, () => (globalThis as unknown as { image: { closed: boolean } }).image.closed)
    expect(closed).toBe(true)
    for (const page of [first, second]) await page.close()
  })
})
