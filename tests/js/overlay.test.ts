import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type BackingRequest,
  blob,
  http,
  inspect,
  isQcow2Error,
  memory,
  overlay,
  type PassphraseRequest,
  type Qcow2,
  sameBase,
} from '../../src/js/index.js'
import { check, contents, convert, create, difference, disk, file, qemuImg, save } from './helpers/qemu.js'
import { createEncrypted, decrypted, ioEncrypted, luks, passphrase } from './helpers/secret.js'
import { FileServer } from './helpers/server.js'

const size = 2 * 1024 * 1024
const bytes = contents(size, 3)
const base = convert('base.qcow2', bytes)
let server: FileServer

beforeEach(async () => {
  server = await new FileServer(readFileSync(base)).start()
})
afterEach(() => server.stop())

/** Writes something; the disk that should come of it. */
async function change(image: Qcow2): Promise<Uint8Array> {
  await image.write(100_000, new Uint8Array(50_000).fill(7))
  await image.writeZeroes(1_000_000, 70_000)
  const changed = bytes.slice()
  changed.fill(7, 100_000, 150_000)
  changed.fill(0, 1_000_000, 1_070_000)
  return changed
}

/** What QEMU reads when the base is the given file. */
function seen(local: { bytes(): Uint8Array }, base: string, format: string): Uint8Array {
  const path = save('overlay.qcow2', local.bytes())
  qemuImg('rebase', '-u', '-b', base, '-F', format, path)
  expect(check(path)).toBe('clean')
  return disk(path)
}

async function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'fine',
    (error) => (isQcow2Error(error) ? error.code : String(error)),
  )
}

describe('an overlay', () => {
  it('over an image on a server is made, written, and opened again', async () => {
    const local = memory()
    const image = await overlay(http(server.url), local)
    expect([image.size, image.readOnly]).toEqual([size, false])
    expect(difference(await image.read(0, size), bytes)).toBe(-1)
    const changed = await change(image)
    await image.close()

    const again = await overlay(http(server.url), local)
    expect(difference(await again.read(0, size), changed)).toBe(-1)
    const { backingFile } = await again.info()
    await again.close()
    const [recorded, samples] = backingFile?.split('&samples=') ?? []
    expect(recorded).toBe(`${server.url}#size=${server.file.length}&etag=%221%22`)
    expect(samples).toMatch(/^[\w-]{43}$/)
    expect(difference(seen(local, base, 'qcow2'), changed)).toBe(-1)
  })

  it('whose making was cut short is made anew', async () => {
    const raw = new Uint8Array(size).fill(5)
    for (let writes = 0; ; writes += 1) {
      const local = memory()
      let left = writes
      const write = (offset: number, bytes: Uint8Array) => {
        if (left === 0) throw new Error('The tab is gone.')
        left -= 1
        local.writeSync(offset, bytes)
      }
      const crashing = {
        size: () => local.size(),
        readSync: (offset: number, into: Uint8Array) => local.readSync(offset, into),
        writeSync: write,
        truncateSync: (length: number) => local.truncateSync(length),
        flushSync: () => {},
      }
      const cut = await code(overlay(memory(raw), crashing).then((image) => image.close()))
      const image = await overlay(memory(raw), local)
      expect(await image.read(size - 10, 10)).toEqual(new Uint8Array(10).fill(5))
      await image.close()
      if (cut === 'fine') break
    }
  })

  it('is made over nothing that is there', async () => {
    const small = new Uint8Array(1000)
    small[999] = 1
    for (const found of [bytes, small]) {
      const local = memory(found)
      expect(await code(overlay(memory(bytes), local))).toBe('NOT_QCOW2')
      expect(local.bytes()).toEqual(found)
    }
  })

  it('is made by one of two at a time', async () => {
    const local = memory()
    const both = [1, 2].map(() => overlay(memory(bytes), local))
    const codes = await Promise.all(both.map(code))
    expect(codes.sort()).toEqual(['IN_USE', 'fine'])
    for (const each of await Promise.allSettled(both)) if (each.status === 'fulfilled') await each.value.close()
    expect(difference(seen(local, save('base.raw', bytes), 'raw'), bytes)).toBe(-1)
  })

  it('over a base that fails reports that', async () => {
    const failing = { size: () => Promise.reject(new Error('no size')), read: async () => new Uint8Array() }
    expect(await code(overlay(failing, memory()))).toBe('STORAGE')
  })

  it('over a raw disk is larger if that is wanted', async () => {
    server.file = bytes
    const local = memory()
    const image = await overlay(http(server.url), local, { size: 2 * size, clusterSize: 4096 })
    expect(image.size).toBe(2 * size)
    const changed = new Uint8Array(2 * size)
    changed.set(await change(image))
    await image.close()
    expect(difference(seen(local, save('base.raw', bytes), 'raw'), changed)).toBe(-1)
  })

  it('over a base that has a base takes both, in every form that an opening takes', async () => {
    const top = create('top.qcow2', size, '-b', base, '-F', 'qcow2')
    const [one, two] = [blob(new Blob([readFileSync(top)])), blob(new Blob([readFileSync(base)]))]
    const depths: number[] = []
    const find = ({ depth }: BackingRequest) => {
      depths.push(depth)
      return two
    }
    const local = memory()
    for (const backing of [[two], two, { storage: two, format: 'qcow2' as const }, find]) {
      const image = await overlay(one, local, { backing })
      expect(difference(await image.read(0, size), bytes)).toBe(-1)
      await image.close()
    }
    expect(new Set(depths)).toEqual(new Set([1]))
  })

  it('over a base that has a data file takes both', async () => {
    qemuImg('convert', '-O', 'qcow2', '-o', 'data_file=base.data', base, 'outer.qcow2')
    const [outer, dataFile] = ['outer.qcow2', 'base.data'].map((name) => memory(readFileSync(file(name))))
    if (!outer) throw new Error('no base')
    const local = memory()
    for (const time of ['first', 'second']) {
      const image = await overlay(outer, local, { dataFile })
      expect(difference(await image.read(0, size), bytes), time).toBe(-1)
      await image.close()
    }
  })

  it.each([luks, 'encrypt.format=aes'])('over a base that is encrypted (%s) asks for its passphrase', async (how) => {
    const secret = createEncrypted('secret.qcow2', how)
    ioEncrypted('secret.qcow2', ['write -q -P 1 0 64k', 'write -q -P 2 1000k 20k'])
    server.file = readFileSync(secret)
    const expected = decrypted('secret.qcow2')
    const asked: PassphraseRequest[] = []
    const ask = (request: PassphraseRequest) => {
      asked.push(request)
      return passphrase
    }
    const local = memory()
    const image = await overlay(http(server.url), local, { passphrase: ask })
    expect(difference(await image.read(0, image.size), expected)).toBe(-1)
    await image.write(60_000, new Uint8Array(10_000).fill(7))
    expected.fill(7, 60_000, 70_000)
    const { backingFile: name } = await image.info()
    await image.close()
    expect(asked).toEqual([{ depth: 1, format: how === luks ? 'luks' : 'aes', name }])

    const again = await overlay(http(server.url), local, { passphrase })
    expect(difference(await again.read(0, again.size), expected)).toBe(-1)
    await again.close()
    expect(await code(overlay(http(server.url), local))).toBe('PASSPHRASE_NEEDED')

    const path = save('overlay.qcow2', local.bytes())
    qemuImg('rebase', '-u', '-b', secret, '-F', 'qcow2', path)
    const object = ['--object', `secret,id=key,data=${passphrase}`]
    const described = `driver=qcow2,file.filename=${path},backing.encrypt.key-secret=key`
    qemuImg('check', '-q', ...object, '--image-opts', described)
    qemuImg('convert', '-O', 'raw', ...object, '--image-opts', described, file('overlay.disk'))
    expect(difference(readFileSync(file('overlay.disk')), expected)).toBe(-1)
  })

  it('over an encrypted base that is locked can be made, and unlocked later', async () => {
    const secret = createEncrypted('secret.qcow2', luks)
    ioEncrypted('secret.qcow2', ['write -q -P 3 0 64k'])
    const base = () => blob(new Blob([readFileSync(secret)]))
    const local = memory()
    const locked = await overlay(base(), local, { passphrase: null })
    expect(await code(locked.read(0, 512))).toBe('PASSPHRASE_NEEDED')
    await locked.close()
    const image = await overlay(base(), local, { passphrase })
    expect((await image.read(0, 2)).join()).toBe('3,3')
    await image.close()
  })

  /** Serves the same bytes as a deployment does, with another tag and date. */
  const redeploy = () => {
    server.etag = `"${Number(server.etag?.slice(1, -1)) + 1}"`
    server.modified = new Date(Date.parse(server.modified ?? '') + 86_400_000).toUTCString()
  }
  /** Changes a byte of the base in its header cluster, in a table, or at its end. */
  const alter = (where: 'header' | 'table' | 'end') => {
    const file = new Uint8Array(server.file)
    const at = { header: 200, table: new DataView(file.buffer).getUint32(44), end: file.length - 1 }[where]
    file[at] = (file[at] ?? 0) ^ 1
    server.file = file
    redeploy()
  }
  it.each<[string, () => void]>([
    ['by its header', () => alter('header')],
    ['by a table', () => alter('table')],
    ['by its end', () => alter('end')],
    ['by its length', () => (server.file = new Uint8Array([...server.file, 0]))],
  ])('whose base is another now, %s, is refused, with what can be done', async (_, becomeAnother) => {
    const local = memory()
    await (await overlay(http(server.url), local)).close()
    const before = local.bytes().slice()
    becomeAnother()
    const error = await overlay(http(server.url), local).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'FILE_CHANGED' })
    for (const way of [/as it was/, /base: \{ identity: /, /acceptChangedBase: true/]) expect(error.reason).toMatch(way)
    expect(local.bytes()).toEqual(before)
  })

  it('whose base was deployed again is opened, and records its new state', async () => {
    const local = memory()
    const image = await overlay(http(server.url), local)
    const changed = await (async () => {
      const disk = await image.read(0, size)
      await image.write(100_000, new Uint8Array(50_000).fill(7))
      return disk.fill(7, 100_000, 150_000)
    })()
    await image.close()
    for (let times = 0; times < 2; times += 1) {
      redeploy()
      const again = await overlay(http(server.url), local)
      expect(difference(await again.read(0, size), changed)).toBe(-1)
      expect(new URL((await again.info()).backingFile ?? '').hash).toContain(encodeURIComponent(server.etag ?? ''))
      await again.close()
    }
    expect(difference(seen(local, base, 'qcow2'), changed)).toBe(-1)
    // Nothing but the base's beginning is asked for while it is as it was recorded.
    server.requests.length = 0
    await (await overlay(http(server.url), local)).close()
    expect(server.requests.every((request) => request === 'GET bytes=0-262143')).toBe(true)
  })

  it('takes few samples of its base, none of what came with its opening twice', async () => {
    server.file = contents(64 * 1024 * 1024, 5)
    await (await overlay(http(server.url), memory(), { format: 'raw' })).close()
    const asked = server.requests.map((request) => {
      const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request) ?? []
      return Number(end) + 1 - Number(start)
    })
    expect(asked.length).toBeLessThanOrEqual(1 + 31)
    expect(asked.slice(1).every((length) => length === 4096)).toBe(true)
  })

  it('whose base was deployed again is refused where no samples were recorded', async () => {
    const local = memory()
    await (await overlay(http(server.url), local)).close()
    const path = save('unsampled.qcow2', local.bytes())
    const recorded = (await inspect(local)).backingFile?.replace(/&samples=.*/, '') ?? ''
    qemuImg('rebase', '-u', '-b', recorded, '-F', 'qcow2', path)
    redeploy()
    const old = () => memory(readFileSync(path))
    expect(await code(overlay(http(server.url), old()))).toBe('FILE_CHANGED')
    expect(await code(overlay(http(server.url), old(), { acceptChangedBase: true }).then((it) => it.close()))).toBe(
      'fine',
    )
  })

  it.each(['end', 'length'])('over another base (by its %s) is opened if that is accepted, once', async (how) => {
    const local = memory()
    await (await overlay(http(server.url), local)).close()
    if (how === 'end') alter('end')
    else server.file = new Uint8Array([...server.file, 0])
    expect(await code(overlay(http(server.url), local))).toBe('FILE_CHANGED')
    await (await overlay(http(server.url), local, { acceptChangedBase: true })).close()
    expect(await code(overlay(http(server.url), local).then((image) => image.close()))).toBe('fine')
  })

  it('knows a base by the identity that the app chose', async () => {
    const local = memory()
    const open = (identity?: string) => overlay(http(server.url), local, { base: { identity } })
    server.requests.length = 0
    await (await open('debian-12.4')).close()
    expect((await inspect(local)).backingFile).toMatch(/#size=\d+&etag=%221%22&id=debian-12\.4$/)
    alter('end')
    expect(await code(open('debian-12.4').then((image) => image.close()))).toBe('fine')
    expect(await code(open('debian-12.5'))).toBe('FILE_CHANGED')
    // Without the app's word the tag counts.
    expect(await code(open())).toBe('FILE_CHANGED')
    server.file = new Uint8Array([...server.file, 0])
    expect(await code(open('debian-12.4'))).toBe('FILE_CHANGED')
  })

  it.each(['', 'x'.repeat(129), 5 as unknown as string])('takes no identity like %j', async (identity) => {
    expect(await code(overlay(memory(bytes), memory(), { base: { identity } }))).toBe('INVALID_ARGUMENT')
  })

  it('that needs no base any more is opened over any', async () => {
    const local = memory()
    const image = await overlay(http(server.url), local)
    await image.copyUp()
    await image.close()
    alter('end')
    expect(await code(overlay(http(server.url), local).then((again) => again.close()))).toBe('fine')
  })

  it('has a base that is distinguished from another before it is opened', async () => {
    const local = memory()
    await (await overlay(http(server.url), local)).close()
    const recorded = (await inspect(local)).backingFile ?? ''
    expect(await sameBase(recorded, http(server.url))).toBe(true)
    redeploy()
    expect(await sameBase(recorded, http(server.url))).toBe(true)
    alter('table')
    expect(await sameBase(recorded, http(server.url))).toBe(false)
    expect(await sameBase('base.qcow2', http(server.url))).toBe(true)
  })

  it('whose base has moved is opened', async () => {
    const local = memory()
    await (await overlay(http(`${server.url}?token=secret`), local)).close()
    expect(Buffer.from(local.bytes()).includes('secret')).toBe(false)
    const image = await overlay(http(server.url.replace('127.0.0.1', 'localhost')), local)
    expect(difference(await image.read(0, size), bytes)).toBe(-1)
    await image.close()
  })

  it('over a file knows it by its date, and where that differs by its samples', async () => {
    const local = memory()
    const content = readFileSync(base)
    const at = (lastModified: number, bytes = content) => blob(new File([bytes], 'base.qcow2', { lastModified }))
    const open = (storage: ReturnType<typeof at>) => code(overlay(storage, local).then((image) => image.close()))
    expect(await open(at(1))).toBe('fine')
    expect(await open(at(2))).toBe('fine')
    const other = Buffer.from(content)
    other[200] = (other[200] ?? 0) ^ 1
    expect(await open(at(2, other))).toBe('fine')
    expect(await open(at(3, other))).toBe('FILE_CHANGED')
  })

  it('records the name that it is given', async () => {
    const image = await overlay(blob(new Blob([readFileSync(base)])), memory(), { name: 'base.qcow2' })
    expect((await image.info()).backingFile).toBe(`base.qcow2#size=${readFileSync(base).length}`)
    await image.close()
  })

  it('that fails leaves both storages closed', async () => {
    const opened: string[] = []
    const counted = (name: string, content: Uint8Array) => {
      const inner = memory(content)
      return Object.assign(inner, {
        open: () => void opened.push(name),
        close: () => void opened.splice(opened.indexOf(name), 1),
      })
    }
    const local = counted('local', new Uint8Array())
    expect(await code(overlay(counted('base', new Uint8Array(100)), local, { format: 'qcow2' }))).toBe('NOT_QCOW2')
    expect(opened).toEqual([])
    const other = counted('local', new Uint8Array(5000).fill(1))
    expect(await code(overlay(counted('base', new Uint8Array(512)), other))).toBe('NOT_QCOW2')
    expect(opened).toEqual([])
    expect(await code(overlay({} as never, memory()))).toBe('INVALID_ARGUMENT')
  })
})
