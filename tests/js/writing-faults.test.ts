import { execFileSync } from 'node:child_process'
import { linkSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { convert, memory, nodeFile, Qcow2, Qcow2Error, type WritableAsyncStorage } from '../../src/js/index.js'
import { contents, create, difference, disk, file, qemuImg, qemuIo, save } from './helpers/qemu.js'
import { readOnly, settle } from './helpers/storages.js'

const KiB = 1024
const MiB = 1024 * KiB

/** A change that reached a {@link HeldFile}. */
interface Held {
  readonly kind: 'write' | 'flush' | 'truncate'
  readonly offset: number
  readonly signal: AbortSignal | undefined
  /** Carries it out, and says so. */
  go(): void
}

/** A file whose changes wait, as long as it holds them, until the test lets them go. */
class HeldFile implements WritableAsyncStorage {
  hold = false
  closed = false
  readonly held: Held[] = []
  readonly #file = memory()

  size(): number {
    return this.#file.size()
  }

  bytes(): Uint8Array {
    return this.#file.bytes()
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    this.#file.readSync(offset, bytes)
    return bytes
  }

  write(offset: number, bytes: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    return this.#change('write', offset, signal, () => this.#file.writeSync(offset, bytes))
  }

  truncate(size: number): Promise<void> {
    return this.#change('truncate', size, undefined, () => this.#file.truncateSync(size))
  }

  flush(): Promise<void> {
    return this.#change('flush', 0, undefined, () => {})
  }

  close(): void {
    this.closed = true
  }

  async #change(
    kind: Held['kind'],
    offset: number,
    signal: AbortSignal | undefined,
    carryOut: () => void,
  ): Promise<void> {
    if (this.hold) await new Promise<void>((go) => this.held.push({ kind, offset, signal, go }))
    carryOut()
  }
}

/** An image over a file whose changes are held from now on, with a cluster of its own at 0. */
async function held(): Promise<{ storage: HeldFile; image: Qcow2 }> {
  const storage = new HeldFile()
  const image = await Qcow2.create(storage, { size: MiB })
  await image.write(0, new Uint8Array(64 * KiB).fill(1))
  await image.flush()
  storage.hold = true
  return { storage, image }
}

describe('an aborted write', () => {
  it('is waited for by a later one of the same bytes, and by a flush, but not by others', async () => {
    const { storage, image } = await held()
    const abort = new AbortController()
    const aborted = image.write(0, new Uint8Array(512).fill(2), { signal: abort.signal })
    const [first] = storage.held
    abort.abort('enough')
    await expect(aborted).rejects.toBe('enough')
    expect(first?.signal?.aborted).toBe(true)

    const [same, flush, other] = [
      image.write(0, new Uint8Array(512).fill(3)),
      image.flush(),
      image.write(4096, new Uint8Array(512).fill(4)),
    ]
    await settle()
    expect(storage.held.slice(1).map(({ offset }) => offset - (first?.offset ?? 0))).toEqual([4096])
    for (let next = storage.held.shift(); next; next = storage.held.shift()) {
      next.go()
      await settle()
    }
    await Promise.all([same, flush, other])
    storage.hold = false
    expect(await image.read(0, 1)).toEqual(Uint8Array.of(3))
    await image.close()
  })

  it('that waits for another one is never begun', async () => {
    const { storage, image } = await held()
    const [one, two] = [new AbortController(), new AbortController()]
    const writes = [one, two].map(({ signal }, index) =>
      image.write(0, new Uint8Array(512).fill(2 + index), { signal }),
    )
    const outcome = Promise.allSettled(writes)
    // The second one overlaps while the first is under way: both are begun. The third waits for what was aborted.
    one.abort()
    const three = new AbortController()
    const third = image.write(0, new Uint8Array(512).fill(9), { signal: three.signal }).catch(() => {})
    await settle()
    const begun = storage.held.length
    three.abort()
    two.abort()
    await Promise.all([outcome, third])
    storage.hold = false
    for (const each of storage.held.splice(0)) each.go()
    await settle()
    expect(begun).toBe(2)
    expect((await image.read(0, 1))[0]).not.toBe(9)
    await image.close()
  })
})

describe('close', () => {
  it('drops what is in flight, waits for it, and flushes', async () => {
    const { storage, image } = await held()
    await settle()
    const write = image.write(0, new Uint8Array(512).fill(2))
    const closing = image.close()
    await expect(write).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(image.write(0, new Uint8Array(1))).rejects.toMatchObject({ code: 'CLOSED' })
    await settle()
    expect(storage.held.map(({ kind }) => kind)).toEqual(['write'])
    expect(storage.closed).toBe(false)
    storage.hold = false
    for (const each of storage.held.splice(0)) each.go()
    await closing
    expect(storage.closed).toBe(true)
    qemuImg('check', '-q', save('closed.qcow2', storage.bytes()))
  })

  it('rejects where the flush fails, and closes all the same', async () => {
    const storage = memory()
    let closed = false
    const failing = Object.assign(storage, {
      close() {
        closed = true
      },
    })
    const image = await Qcow2.create(failing, { size: MiB })
    await image.write(0, new Uint8Array(10))
    const thrown = new Error('on fire')
    failing.flushSync = () => {
      throw thrown
    }
    await expect(image.close()).rejects.toMatchObject({ code: 'STORAGE', cause: thrown })
    expect(closed).toBe(true)
    expect(image.closed).toBe(true)
  })
})

describe('a storage that fails', () => {
  it('loses nothing that was written, and the handle is used on when there is room', async () => {
    const storage = memory()
    const image = await Qcow2.create(storage, { size: 8 * MiB })
    const expected = contents(MiB)
    // Acknowledged, and not flushed.
    await image.write(0, expected)
    const writeSync = storage.writeSync
    storage.writeSync = () => {
      throw new DOMException('no more', 'QuotaExceededError')
    }
    await expect(image.write(4 * MiB, expected)).rejects.toMatchObject({ code: 'QUOTA' })
    await expect(image.flush()).rejects.toMatchObject({ code: 'QUOTA' })
    storage.writeSync = writeSync
    await image.write(2 * MiB, expected)
    await image.close()
    qemuImg('check', '-q', save('full.qcow2', storage.bytes()))
    await using again = await Qcow2.open(storage, { writable: true })
    expect(difference(await again.read(0, MiB), expected)).toBe(-1)
    expect(difference(await again.read(2 * MiB, MiB), expected)).toBe(-1)
  })

  it('refuses writes after a flush that failed, because it is unknown what is durable', async () => {
    const storage = memory()
    const image = await Qcow2.create(storage, { size: 8 * MiB })
    await image.write(0, contents(MiB))
    await image.flush()
    const flushSync = storage.flushSync
    storage.flushSync = () => {
      throw new Error('on fire')
    }
    await image.write(4 * MiB, contents(MiB))
    await expect(image.flush()).rejects.toMatchObject({ code: 'STORAGE' })
    storage.flushSync = flushSync
    await expect(image.write(0, contents(MiB))).rejects.toMatchObject({ code: 'POISONED' })
    await expect(image.close()).rejects.toMatchObject({ code: 'POISONED' })
    await using again = await Qcow2.open(storage, { writable: true })
    expect(difference(await again.read(0, MiB), contents(MiB))).toBe(-1)
  })

  it('is heard as it is where it speaks in these errors', async () => {
    const storage = memory()
    const own = new Qcow2Error('QUOTA', 'The attic is full.')
    const image = await Qcow2.create(storage, { size: MiB })
    storage.writeSync = () => {
      throw own
    }
    await expect(image.write(0, new Uint8Array(1))).rejects.toBe(own)
    await image.close().catch(() => {})
  })

  it.each([true, false])('is a full disk (sync: %s)', async (sync) => {
    const folder = mkdtempSync(join(tmpdir(), 'qcow2-web-full-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder])
    } catch {
      // Only for root: others have the test with a storage that says so.
      rmSync(folder, { recursive: true })
      return
    }
    try {
      const path = join(folder, 'full.qcow2')
      const open = () => (sync ? nodeFile(path, { create: true, sync }) : nodeFile(path, { create: true }))
      const image = await Qcow2.create(open(), { size: 64 * MiB })
      const flushed = contents(512 * KiB)
      await image.write(0, flushed)
      await image.flush()
      await expect(image.write(MiB, new Uint8Array(8 * MiB).fill(1))).rejects.toMatchObject({
        code: 'QUOTA',
        message: expect.stringContaining('QUOTA'),
      })
      await image.close().catch(() => {})
      await using again = await Qcow2.open(open())
      expect(difference(await again.read(0, flushed.length), flushed)).toBe(-1)
      execFileSync('qemu-img', ['check', '-q', '-r', 'leaks', path])
    } finally {
      execFileSync('umount', [folder])
      rmSync(folder, { recursive: true })
    }
  })
})

describe('what is refused', () => {
  const bytes = new Uint8Array(512)

  it('writes to what can only be read', async () => {
    for (const source of [readOnly(bytes), bytes]) {
      await expect(Qcow2.open(source, { writable: true })).rejects.toMatchObject({ code: 'READ_ONLY' })
    }
    const part = { ...readOnly(bytes), writeSync() {}, flushSync() {} }
    await expect(Qcow2.open(part, { writable: true })).rejects.toMatchObject({
      code: 'STORAGE_CONTRACT',
      reason: expect.stringContaining('truncateSync'),
    })
  })

  it('writes to a snapshot, which can be read meanwhile', async () => {
    create('snapshots.qcow2', MiB)
    qemuIo(file('snapshots.qcow2'), 'write -P 5 0 64k')
    qemuImg('snapshot', '-c', 'one', 'snapshots.qcow2')
    {
      await using image = await Qcow2.open(nodeFile(file('snapshots.qcow2')), { writable: true })
      await using snapshot = await image.snapshots.open('one')
      await image.write(0, bytes.fill(7))
      expect((await snapshot.read(0, 1))[0]).toBe(5)
      expect((await image.read(0, 1))[0]).toBe(7)
    }
    qemuImg('check', '-q', 'snapshots.qcow2')
    expect(disk('snapshots.qcow2').subarray(0, 2)).toEqual(Buffer.of(7, 7))
  })

  it('a storage that another image writes, or that is to be written while another reads it', async () => {
    const storage = memory()
    {
      await using image = await Qcow2.create(storage, { size: MiB })
      for (const writable of [true, false]) {
        await expect(Qcow2.open(storage, { writable })).rejects.toMatchObject({ code: 'IN_USE' })
      }
      await image.write(0, bytes)
    }
    await using one = await Qcow2.open(storage)
    await using two = await Qcow2.open(storage)
    await expect(Qcow2.open(storage, { writable: true })).rejects.toMatchObject({ code: 'IN_USE' })
    expect([one.size, two.size]).toEqual([MiB, MiB])
  })

  it.each([true, false])('a file that another storage has, by whatever path (synchronous: %s)', async (sync) => {
    const [path, other] = [create(`one ${sync}.qcow2`, MiB), file(`other ${sync}.qcow2`)]
    linkSync(path, other)
    const own = (name: string) => nodeFile(name, { sync })
    {
      await using image = await Qcow2.open(own(path), { writable: true })
      const another = [own(other), nodeFile(other, { sync }), nodeFile(path, { sync: !sync })]
      for (const each of another) await expect(Qcow2.open(each)).rejects.toMatchObject({ code: 'IN_USE' })
      await expect(convert(image, own(other), { overwrite: true })).rejects.toMatchObject({ code: 'IN_USE' })
      await image.write(0, bytes)
    }
    await using one = await Qcow2.open(nodeFile(path, { sync }))
    await using two = await Qcow2.open(nodeFile(other, { sync }))
    await expect(Qcow2.open(own(path), { writable: true })).rejects.toMatchObject({ code: 'IN_USE' })
    expect([(await one.read(0, 1))[0], (await two.read(0, 1))[0]]).toEqual([bytes[0], bytes[0]])
  })

  it('a storage that holds something, unless it may be overwritten', async () => {
    const storage = memory(contents(1000))
    await expect(Qcow2.create(storage, { size: MiB })).rejects.toMatchObject({ code: 'NOT_EMPTY' })
    expect(difference(storage.bytes(), contents(1000))).toBe(-1)
    await using image = await Qcow2.create(storage, { size: MiB, overwrite: true })
    expect(image.size).toBe(MiB)
  })

  it.each([
    [{ size: -1 }, 'INVALID_ARGUMENT'],
    [{ size: 1n << 62n }, 'BAD_OPTIONS'],
    [{ size: MiB, clusterSize: 1000 }, 'BAD_OPTIONS'],
    [{ size: MiB, refcountBits: 3 }, 'BAD_OPTIONS'],
    [{ size: MiB, version: 2, extendedL2: true }, 'BAD_OPTIONS'],
    [{ size: MiB, version: 4 }, 'BAD_OPTIONS'],
    [{ size: MiB, compression: 'lzma' }, 'INVALID_ARGUMENT'],
    [{ size: MiB, preallocation: 'some' }, 'INVALID_ARGUMENT'],
    [{ size: MiB, cache: 'none' }, 'INVALID_ARGUMENT'],
    [{ size: MiB, backing: { name: 'base.img', format: 'vmdk' } }, 'INVALID_ARGUMENT'],
  ])('options that make no image: %o', async (options, code) => {
    const storage = memory()
    await expect(Qcow2.create(storage, options as never)).rejects.toMatchObject({ code })
    expect(storage.size()).toBe(0)
  })

  it('arguments that make no write', async () => {
    await using image = await Qcow2.create(memory(), { size: MiB })
    await expect(image.write(MiB - 1, bytes)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
    await expect(image.write(0, [1] as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(image.writeZeroes(0, MiB + 1)).rejects.toMatchObject({ code: 'OUT_OF_BOUNDS' })
    await expect(image.discard(-1, 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(image.writeCompressed(512, bytes)).rejects.toMatchObject({ code: 'UNALIGNED' })
    // Longer than a piece: refused before the first one is written.
    await expect(image.writeCompressed(0, new Uint8Array(MiB - 1))).rejects.toMatchObject({ code: 'UNALIGNED' })
    expect(difference(await image.read(0, MiB), new Uint8Array(MiB))).toBe(-1)
  })
})

it('an array may be transferred once it was copied, and not before', async () => {
  await using image = await Qcow2.create(new HeldFile(), { size: 16 * MiB })
  const [short, long] = [new Uint8Array(MiB).fill(1), new Uint8Array(12 * MiB).fill(2)]
  const writes = [image.write(0, short), image.write(MiB, long)]
  structuredClone([short, long], { transfer: [short.buffer, long.buffer] })
  const [first, second] = await Promise.allSettled(writes)
  expect(first).toMatchObject({ status: 'fulfilled' })
  expect(second).toMatchObject({ status: 'rejected', reason: { code: 'INVALID_ARGUMENT' } })
  expect(difference(await image.read(0, MiB), new Uint8Array(MiB).fill(1))).toBe(-1)
})
