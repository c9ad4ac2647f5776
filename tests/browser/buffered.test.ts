import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contents, convert } from '../js/helpers/qemu.js'
import { hasOpfs } from './drivers/chosen.js'
import { StorageLab, type Work } from './storage-lab.js'

const disk = contents(1024 * 1024, 4)
const image = readFileSync(convert('image.qcow2', disk))
const lab = new StorageLab()

beforeAll(() => lab.start())
afterAll(() => lab.stop())

type Kind = 'idb' | 'fileHandle'

/** Random changes, flushes and reopenings of a file; what it is and should be, where they differ. */
const play: Work<[Kind, number, number | undefined], string> = async (qcow2, kind, seed, budget) => {
  const file = async () => (await navigator.storage.getDirectory()).getFileHandle(`play ${seed}`, { create: true })
  const options = { ...(budget && { budget }) }
  const storage = kind === 'idb' ? qcow2.idb(`play ${seed}`, options) : qcow2.fileHandle(await file(), options)
  let state = seed
  const below = (limit: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
  const { signal } = new AbortController()
  const most = 400_000
  let model = new Uint8Array()
  let flushed = model
  const resized = (bytes: Uint8Array, size: number) => {
    const next = new Uint8Array(size)
    next.set(bytes.subarray(0, size))
    return next
  }
  const same = async (what: string) => {
    const size = await storage.size()
    if (size !== model.length) throw new Error(`${what}: ${size} bytes, not ${model.length}`)
    const bytes = await storage.read(0, size, { signal })
    const at = bytes.findIndex((byte, index) => byte !== model[index])
    if (at >= 0) throw new Error(`${what}: ${bytes[at]} at ${at}, not ${model[at]}`)
  }
  await storage.open?.({ writable: true })
  for (let step = 0; step < 150; step += 1) {
    const kind = below(20)
    if (kind < 13) {
      const offset = below(most)
      const bytes = new Uint8Array(below(3) === 0 ? 65536 : below(100_000)).fill(1 + below(255))
      if (offset + bytes.length > model.length) model = resized(model, offset + bytes.length)
      model = model.slice()
      model.set(bytes, offset)
      await storage.write(offset, bytes, { signal })
    } else if (kind < 16) {
      // To the beginning of a chunk, too.
      model = resized(model, below(2) === 0 ? below(7) * 65_536 : below(most))
      await storage.truncate(model.length)
    } else if (kind < 19) {
      // Reads while the file is replaced are served.
      const [flush] = [storage.flush(), same(`step ${step}, during a flush`)]
      await flush
      flushed = model
    } else {
      await storage.close?.()
      await storage.open?.({ writable: true })
      if (budget) model = await storage.read(0, await storage.size(), { signal }).then((bytes) => bytes.slice())
      else model = flushed
    }
    await same(`step ${step}`)
  }
  await storage.close?.()
  return 'as it should be'
}

describe.each(hasOpfs ? (['idb', 'fileHandle'] as const) : (['idb'] as const))('%s()', (kind) => {
  it.each([1, 2, 3])('reads what was written, and after a reopening what was flushed (%i)', async (seed) => {
    expect(await lab.onPage(play, kind, seed * 7919, undefined)).toBe('as it should be')
  })

  it('flushes by itself before it keeps too much', async () => {
    expect(await lab.inWorker(play, kind, 104_729, 4 * 65_536)).toBe('as it should be')
  })
})

it('an image in IndexedDB is read', async () => {
  const seen = await lab.onPage(async ({ idb, Qcow2 }, base64) => {
    const file = idb('image')
    await file.open?.({ writable: true })
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
    await file.write(0, bytes, new AbortController())
    await file.flush()
    await file.close?.()
    const image = await Qcow2.open(idb('image'))
    const hash = await crypto.subtle.digest('SHA-256', await image.read(0, image.size))
    await image.close()
    return Array.from(new Uint8Array(hash))
  }, image.toString('base64'))
  expect(seen).toEqual([...new Uint8Array(await crypto.subtle.digest('SHA-256', disk))])
})

it('files in IndexedDB are listed and removed, and belong to one writer at a time', async () => {
  const seen = await lab.onPage(async ({ idb, isQcow2Error }) => {
    const [one, same, two] = [idb('list/one'), idb('list/one'), idb('list/two')]
    await one.open?.({ writable: true })
    await two.open?.({ writable: true })
    const code = await Promise.resolve(same.open?.({ writable: true })).catch(
      (error) => isQcow2Error(error) && error.code,
    )
    const mine = async () => (await idb.list()).filter((name) => name.startsWith('list/')).sort()
    const before = await mine()
    await one.close?.()
    await same.open?.({ writable: true })
    await same.close?.()
    await idb.delete('list/one')
    await idb.delete('list/none')
    const after = await mine()
    await two.close?.()
    return { code, before, after }
  })
  expect(seen).toEqual({ code: 'IN_USE', before: ['list/one', 'list/two'], after: ['list/two'] })
})

/** Deletes a file while it is open, and again when it is not; what came of it. */
const deleteOpen: Work<[string, boolean], unknown> = async ({ idb, isQcow2Error }, name, locks) => {
  if (!locks) Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true })
  try {
    const open = idb(name)
    await open.open?.({ writable: true })
    const code = await idb.delete(name).catch((error) => isQcow2Error(error) && error.code)
    // Without locks the deletion goes on in the background, and Firefox lets the list wait for it.
    const listed = !locks || (await idb.list()).includes(name)
    await open.close?.()
    await idb.delete(name)
    return { code, listed, after: (await idb.list()).includes(name) }
  } finally {
    Reflect.deleteProperty(navigator, 'locks')
  }
}

it.each([
  ['Web Locks', true],
  ['no Web Locks', false],
])('a file in IndexedDB that is open is not deleted, where there are %s', async (_, locks) => {
  const expected = { code: 'IN_USE', listed: true, after: false }
  expect(await lab.onPage(deleteOpen, `open ${locks}`, locks)).toEqual(expected)
  expect(await lab.inWorker(deleteOpen, `open in a worker ${locks}`, locks)).toEqual(expected)
})

it('files in IndexedDB are listed by browsers that do not list databases', async () => {
  const seen = await lab.onPage(async ({ idb }) => {
    const { databases } = IDBFactory.prototype
    Reflect.deleteProperty(IDBFactory.prototype, 'databases')
    try {
      const mine = async () => (await idb.list()).filter((name) => name.startsWith('unlisted/')).sort()
      const seen = [await mine()]
      for (const name of ['unlisted/two', 'unlisted/one', 'unlisted/one']) {
        const file = idb(name)
        await file.open?.({ writable: true })
        await file.close?.()
      }
      seen.push(await mine())
      await idb.delete('unlisted/two')
      await idb.delete('unlisted/none')
      seen.push(await mine())
      await idb.delete('unlisted/one')
      return seen
    } finally {
      IDBFactory.prototype.databases = databases
    }
  })
  expect(seen).toEqual([[], ['unlisted/one', 'unlisted/two'], ['unlisted/one']])
})

describe.runIf(hasOpfs)('the handle of a file', () => {
  it('is read, and not written unless that is asked for', async () => {
    const seen = await lab.onPage(async ({ fileHandle }) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('read', { create: true })
      const writer = await handle.createWritable()
      await writer.write('abc')
      await writer.close()
      const storage = fileHandle(handle)
      const request = new AbortController()
      await storage.open?.()
      const bytes = await storage.read(1, 2, request)
      const refused = await storage.write(0, new Uint8Array(1), request).catch(({ code }) => code)
      await storage.close?.()
      return { size: bytes.length, text: new TextDecoder().decode(bytes), refused }
    })
    expect(seen).toEqual({ size: 2, text: 'bc', refused: 'READ_ONLY' })
  })

  it('that something else has changed is not overwritten', async () => {
    const seen = await lab.onPage(async ({ fileHandle, isQcow2Error }) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('changed', { create: true })
      const storage = fileHandle(handle)
      await storage.open?.({ writable: true })
      await storage.write(0, new Uint8Array(10), new AbortController())
      const writer = await handle.createWritable()
      await writer.write('theirs')
      await writer.close()
      const code = await storage.flush().catch((error) => isQcow2Error(error) && error.code)
      await storage.close?.()
      return { code, text: await (await handle.getFile()).text() }
    })
    expect(seen).toEqual({ code: 'FILE_CHANGED', text: 'theirs' })
  })

  it.each([
    ['denied', 'NOT_PERMITTED', 0],
    ['asked for and granted', 'open', 1],
    ['asked for and denied', 'NOT_PERMITTED', 1],
    ['not to be asked for now', 'NOT_PERMITTED', 1],
  ] as const)('with the permission %s', async (which, outcome, asked) => {
    // The browser's own question can't be answered by a program: here its answers alone are made up.
    const seen = await lab.onPage(async ({ fileHandle, isQcow2Error }, which) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('permitted', { create: true })
      let asked = 0
      Object.assign(handle, {
        queryPermission: async () => (which === 'denied' ? 'denied' : 'prompt'),
        requestPermission: async () => {
          asked += 1
          if (which.startsWith('not')) throw new DOMException('no gesture', 'SecurityError')
          return which.endsWith('granted') ? 'granted' : 'denied'
        },
      })
      const storage = fileHandle(handle)
      const opened = Promise.resolve(storage.open?.({ writable: true }))
      const outcome = await opened.then(
        () => 'open',
        (error) => isQcow2Error(error) && error.code,
      )
      return { outcome, asked }
    }, which)
    expect(seen).toEqual({ outcome, asked })
  })
})
