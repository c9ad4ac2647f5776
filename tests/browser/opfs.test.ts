import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { patience } from './drivers/driver.js'
import { inWorker, onPage, useServedLab, type Work } from './storage-lab.js'

const disk = contents(3 * 1024 * 1024, 9)
const image = readFileSync(convert('image.qcow2', disk))
const { lab, server } = useServedLab(image)

/** Where a function runs. */
const places = [
  ['on a page', <A extends unknown[], T>(work: Work<A, T>, ...args: A) => lab.onPage(work, ...args)],
  ['in a worker', <A extends unknown[], T>(work: Work<A, T>, ...args: A) => lab.inWorker(work, ...args)],
] as const

/** What a storage does whose members are called one by one, whether it is synchronous or not. */
const exercise: Work<[string], unknown> = async ({ opfs }, path) => {
  const storage = opfs(path, { create: true }) as unknown as Record<string, (...args: unknown[]) => unknown>
  const { signal } = new AbortController()
  const sync = 'readSync' in storage
  const call = async (name: string, ...args: unknown[]) => storage[sync ? `${name}Sync` : name]?.(...args)
  const write = (offset: number, bytes: Uint8Array) => call('write', offset, bytes, { signal })
  const read = async (offset: number, length: number): Promise<unknown> => {
    const into = new Uint8Array(length)
    if (sync) await call('read', offset, into)
    return Array.from(sync ? into : ((await call('read', offset, length, { signal })) as Uint8Array))
  }
  const seen: unknown[] = [sync]
  await storage.open?.({ writable: true })
  seen.push(await storage.size?.())
  await write(10, new Uint8Array([1, 2, 3]))
  // A view on a part of an array is not more than that part.
  await write(13, new Uint8Array([9, 4, 5, 9]).subarray(1, 3))
  seen.push(await storage.size?.(), await read(9, 6))
  await call('truncate', 12)
  await call('truncate', 20)
  await call('flush')
  seen.push(await read(10, 4))
  seen.push(await read(18, 3).catch((error) => error.code))
  await storage.close?.()
  // As after a reload.
  await storage.open?.({ writable: true })
  seen.push(await storage.size?.(), await read(10, 3))
  await storage.close?.()
  return seen
}

describe.each(places)('%s', (where, run) => {
  it('a file is written, cut, grown and read', async () => {
    expect(await run(exercise, `${where}/deep/file`)).toEqual([
      where === 'in a worker',
      0,
      15,
      [0, 1, 2, 3, 4, 5],
      [1, 2, 0, 0],
      'FILE_CHANGED',
      20,
      [1, 2, 0],
    ])
  })

  it('an image is imported, read, exported, renamed and removed', async () => {
    const seen = await run(
      async ({ http, opfs, Qcow2 }, url, path) => {
        const source = await (await fetch(url)).blob()
        const progress: number[] = []
        const onProgress = ({ done, total }: { done: number; total: number }) => {
          if (total !== source.size) throw new Error(`of ${total}`)
          progress.push(done)
        }
        await opfs.import(`${path}/one.qcow2`, source, { onProgress })
        await opfs.import(`${path}/two.qcow2`, source.stream())
        await opfs.rename(`${path}/two.qcow2`, `${path}/other/three.qcow2`)

        const image = await Qcow2.open(opfs(`${path}/one.qcow2`))
        const original = await Qcow2.open(http(url))
        const bytes = await image.read(0, image.size)
        const same = (await original.read(0, image.size)).every((byte, index) => byte === bytes[index])
        await image.close()
        await original.close()

        let exported = 0
        await opfs.export(
          `${path}/other/three.qcow2`,
          new WritableStream({
            write(chunk) {
              exported += chunk.length
            },
          }),
        )
        const list = [...(await opfs.list(path)), ...(await opfs.list(`${path}/other`))]
        const { size } = await opfs.file(`${path}/one.qcow2`)
        await opfs.delete(path)
        const left = (await opfs.list()).filter(({ name }) => name === path).length
        const growing = progress.every((done, index) => index === 0 || done > (progress[index - 1] ?? 0))
        const paths = list.map((entry) => `${entry.kind} ${entry.path} ${entry.size}`)
        return { same, sync: image.sync, exported, paths, size, left, growing, last: progress.at(-1) }
      },
      server.url,
      `files ${where}`,
    )
    expect(seen).toEqual({
      same: true,
      sync: where === 'in a worker',
      exported: image.length,
      paths: [
        `file files ${where}/one.qcow2 ${image.length}`,
        `directory files ${where}/other 0`,
        `file files ${where}/other/three.qcow2 ${image.length}`,
      ],
      size: image.length,
      left: 0,
      growing: true,
      last: image.length,
    })
  })

  it('a conversion that overwrites a file replaces it when it is whole, and leaves it as it was when it fails', async () => {
    const seen = await run(
      async ({ convert, isQcow2Error, opfs, raw }, url, path) => {
        await opfs.import(`${path}/old.qcow2`, await (await fetch(url)).blob())
        const target = () => opfs(`${path}/old.qcow2`)
        const names = async () => (await opfs.list(path)).map(({ name, size }) => `${name} ${size}`)
        const size = 4 * 1024 * 1024
        const failing = {
          size: () => size,
          async read(offset: number, length: number) {
            if (offset >= size / 2) throw new Error('a bad sector')
            return new Uint8Array(length).fill(1)
          },
        }
        const disk = await raw(failing)
        const failed = await convert(disk, target(), { overwrite: true }).catch((error) =>
          isQcow2Error(error) ? error.code : String(error),
        )
        const kept = await names()
        await disk.close()
        const whole = await raw({
          size: () => size,
          read: async (_: number, length: number) => new Uint8Array(length).fill(2),
        })
        await convert(whole, target(), { overwrite: true, format: 'raw' })
        await whole.close()
        const bytes = new Uint8Array(await (await opfs.file(`${path}/old.qcow2`)).arrayBuffer())
        const replaced = [...(await names()), bytes.every((byte) => byte === 2)]
        await opfs.delete(path)
        return { failed, kept, replaced }
      },
      server.url,
      `replaced ${where}`,
    )
    expect(seen).toEqual({
      failed: 'STORAGE',
      kept: [`old.qcow2 ${image.length}`],
      replaced: [`old.qcow2 ${4 * 1024 * 1024}`, true],
    })
  })

  it('what goes wrong has a code', async () => {
    const seen = await run(async ({ isQcow2Error, opfs }, path) => {
      const codes: unknown[] = []
      const note = async (work: () => unknown) => {
        try {
          codes.push((await work()) ?? 'fine')
        } catch (error) {
          codes.push(isQcow2Error(error) ? error.code : (error as Error).name)
        }
      }
      for (const wrong of ['', '/a', 'a/', 'a//b', '../a', '.', 'a/../b']) await note(() => opfs(wrong) && 'taken')
      await note(() => opfs('missing').open?.({ writable: true }))
      await note(() => opfs.file('missing/file'))
      await note(() => opfs.list('missing'))
      await note(() => opfs.delete('missing'))
      await note(() => opfs.rename('missing', `${path}2`))
      await note(() => opfs.export('missing', new WritableStream()))
      const first = opfs(path, { create: true })
      const second = opfs(path)
      await note(() => first.open?.({ writable: true }))
      await note(() => second.open?.({ writable: true }))
      await note(() => opfs.delete(path))
      await note(() => opfs.rename(path, `${path}2`))
      await note(() => opfs.import(path, new Blob(['x'])))
      await note(() => opfs.import(path, new Blob(['x']), { overwrite: true }))
      await note(() => first.close?.())
      await note(() => second.open?.({ writable: true }))
      await note(() => second.close?.())
      await note(() => opfs.import(path, new Blob(['xyz']), { overwrite: true }))
      await note(async () => (await opfs.file(path)).text())
      await note(() => opfs.import(`${path}3`, new Blob(['xyz']), { signal: AbortSignal.abort() }))
      await note(async () =>
        (await opfs.list())
          .filter(({ name }) => name.startsWith(path))
          .map(({ name }) => name)
          .join(),
      )
      await opfs.delete(path)
      return codes
    }, `codes ${where}`)
    expect(seen).toEqual([
      ...Array(7).fill('INVALID_ARGUMENT'),
      'NotFoundError',
      ...Array(5).fill('STORAGE'),
      'fine',
      'IN_USE',
      'IN_USE',
      'IN_USE',
      'STORAGE',
      'IN_USE',
      'fine',
      'fine',
      'fine',
      'fine',
      'xyz',
      'AbortError',
      `codes ${where}`,
    ])
  })

  it('a file that is only read is read by several at one time, and not written', async () => {
    const seen = await run(async ({ isQcow2Error, opfs }, path) => {
      await opfs.import(path, new Blob(['abcdef']))
      const readers = [opfs(path), opfs(path)]
      const writer = opfs(path)
      const { signal } = new AbortController()
      const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
      const opened = async () => Promise.resolve(writer.open?.({ writable: true })).then(() => 'open', code)
      const read = async (storage: (typeof readers)[0], offset: number, length: number) => {
        const into = new Uint8Array(length)
        if ('readSync' in storage) storage.readSync(offset, into)
        else into.set(await storage.read(offset, length, { signal }))
        return new TextDecoder().decode(into)
      }
      const write = async (storage: (typeof readers)[0]) => {
        if ('writeSync' in storage) storage.writeSync(0, new Uint8Array(1))
        else await storage.write(0, new Uint8Array(1), { signal })
      }
      const seen: unknown[] = []
      for (const storage of readers) await storage.open?.()
      seen.push(await opened())
      for (const storage of readers) {
        seen.push(await storage.size(), await read(storage, 2, 3), await read(storage, 4, 3).catch(code))
        seen.push(await write(storage).catch(code))
        await storage.close?.()
      }
      seen.push(await opened())
      seen.push(await Promise.resolve(readers[0]?.open?.()).catch(code))
      await writer.close?.()
      await opfs.delete(path)
      return seen
    }, `shared ${where}`)
    const each = [6, 'cde', 'FILE_CHANGED', 'READ_ONLY']
    expect(seen).toEqual(['IN_USE', ...each, ...each, 'open', 'IN_USE'])
  })
})

describe.each(places)('%s', (where, run) => {
  it('a base on a server is written over', async () => {
    const written = await run(
      async ({ http, isQcow2Error, opfs, overlay }, url, path) => {
        const local = () => opfs(path, { create: true })
        const image = await overlay(http(url), local())
        await image.write(5000, new Uint8Array([1, 2, 3]))
        await image.close()
        const again = await overlay(http(url), local())
        const bytes = await again.read(4999, 5)
        await again.close()
        const other = overlay(http('/index.js', { download: true }), local(), { format: 'raw' })
        const code = await other.catch((error) => isQcow2Error(error) && error.code)
        return { bytes: Array.from(bytes), code }
      },
      server.url,
      `overlay ${where}`,
    )
    expect(written).toEqual({ bytes: [disk[4999], 1, 2, 3, disk[5003]], code: 'FILE_CHANGED' })
  })
})

describe('the package’s own worker', () => {
  it('that is gone fails what is asked of it, and is started again', async () => {
    const page = await lab.page()
    const seen = await onPage(page, async ({ isQcow2Error, opfs }) => {
      const code = (error: unknown) => (isQcow2Error(error) ? error.code : String(error))
      const workers: Worker[] = []
      const Own = Worker
      globalThis.Worker = class extends Own {
        constructor(...args: ConstructorParameters<typeof Own>) {
          super(...args)
          workers.push(this)
        }
      }
      const storage = opfs('dying', { create: true })
      const { signal } = new AbortController()
      if (!('read' in storage)) throw new Error('not on a page')
      await storage.open?.({ writable: true })
      // As a browser that runs out of memory does.
      workers[0]?.terminate()
      const pending = await storage.read(0, 10, { signal }).catch(code)
      const later = await Promise.resolve(storage.size()).catch(code)
      await storage.close?.()
      await storage.open?.({ writable: true })
      const size = await storage.size()
      await storage.close?.()
      return { pending, later, size, started: workers.length }
    })
    await page.close()
    expect(seen).toEqual({ pending: 'WORKER_DIED', later: 'WORKER_DIED', size: 0, started: 2 })
  })

  it('whose script does not come is as one that is gone', async () => {
    lab.withheld = /worker\/worker\.js$/
    const code = await lab.onPage(async ({ isQcow2Error, opfs }) => {
      const storage = opfs('never', { create: true })
      return Promise.resolve(storage.open?.({ writable: true })).catch((error) => isQcow2Error(error) && error.code)
    })
    lab.withheld = undefined
    expect(code).toBe('WORKER_DIED')
  })

  it('serves several files, and lets aborted requests go', async () => {
    const seen = await lab.onPage(async ({ opfs }) => {
      const storages = ['a', 'b'].map((name) => opfs(`several/${name}`, { create: true }))
      const sizes: unknown[] = []
      for (const storage of storages) await storage.open?.({ writable: true })
      const [first] = storages
      const controller = new AbortController()
      const read = first && 'read' in first ? first.read(0, 10, controller) : undefined
      controller.abort(new Error('enough'))
      sizes.push(await read?.catch((error) => error.message))
      for (const storage of storages) sizes.push(await storage.size())
      for (const storage of storages) await storage.close?.()
      return sizes
    })
    expect(seen).toEqual(['enough', 0, 0])
  })
})

it('two tabs have a file one after the other', async () => {
  const [one, two] = [await lab.page(), await lab.page()]
  const open: Work<[], string> = async ({ isQcow2Error, opfs }) => {
    const storage = opfs('tabs', { create: true })
    Object.assign(globalThis, { storage })
    try {
      await storage.open?.({ writable: true })
      return 'open'
    } catch (error) {
      return isQcow2Error(error) ? error.code : String(error)
    }
  }
  expect(await onPage(one, open)).toBe('open')
  expect(await onPage(two, open)).toBe('IN_USE')
  expect(await inWorker(two, open)).toBe('IN_USE')
  await one.close()
  // The browser lets go of what a closed tab had at some time.
  await expect.poll(() => onPage(two, open), { timeout: patience }).toBe('open')
  await two.close()
})
