import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  check,
  convert,
  memory,
  openDisk,
  Qcow2,
  readAhead,
  type StorageOpenOptions,
  type StorageUser,
  type WritableStorage,
} from '../../src/js/index.js'
import { contents, create, convert as make } from './helpers/qemu.js'
import { CountedStorage, HeldStorage } from './helpers/storages.js'

const MiB = 1024 * 1024
const path = make('image.qcow2', contents(MiB, 31))
const raw = readFileSync(path)
const over = readFileSync(create('over.qcow2', MiB, '-b', path, '-F', 'qcow2'))

/** A storage that keeps what it is opened for, and counts its closings. */
function asking(bytes: Uint8Array = raw) {
  const file = memory(bytes)
  const seen = { user: undefined as StorageUser | undefined, closed: 0 }
  const storage: WritableStorage = {
    open({ user } = {}) {
      seen.user = user
    },
    size: () => file.size(),
    readSync: (offset, into) => file.readSync(offset, into),
    writeSync: (offset, from) => file.writeSync(offset, from),
    truncateSync: (size) => file.truncateSync(size),
    flushSync() {},
    close() {
      seen.closed += 1
    },
  }
  return { storage, seen, file }
}

describe('a storage may have what it was opened for closed', () => {
  it('an image with its snapshots, which flushes it', async () => {
    const { storage, seen, file } = asking()
    const image = await Qcow2.open(storage, { writable: true })
    await image.write(5, new Uint8Array([1, 2, 3]))
    await image.snapshots.create('one')
    const snapshot = await image.snapshots.open('one')
    expect(seen.user?.closed).toBe(false)
    await seen.user?.close()
    expect([image.closed, snapshot.closed, seen.user?.closed, seen.closed]).toEqual([true, true, true, 1])
    await seen.user?.close()
    expect(seen.closed).toBe(1)
    expect((await check(memory(file.bytes()))).verdict).toBe('clean')
    await using again = await Qcow2.open(memory(file.bytes()))
    expect([...(await again.read(5, 3))]).toEqual([1, 2, 3])
  })

  it('an image that is still being opened, which is aborted', async () => {
    const { storage, seen } = asking(over)
    const backing = new HeldStorage(raw.length)
    const opening = Qcow2.open(storage, { writable: true, backing })
    await backing.asked
    await Promise.all([seen.user?.close(), expect(opening).rejects.toMatchObject({ code: 'IN_USE' })])
    expect([seen.closed, backing.closed, seen.user?.closed]).toEqual([1, 1, true])
  })

  it('a raw disk, and the target of a conversion', async () => {
    const { storage, seen } = asking()
    const disk = await openDisk(storage, { format: 'raw', writable: true })
    await seen.user?.close()
    expect([disk.closed, seen.closed]).toEqual([true, 1])

    const target = asking(new Uint8Array())
    const source = new HeldStorage(MiB)
    const converting = convert(source, target.storage, { format: 'raw', sourceFormat: 'raw' })
    await source.asked
    const failed = expect(converting).rejects.toMatchObject({ code: 'CLOSED' })
    await target.seen.user?.close()
    for (const request of source.requests) request.answer()
    await failed
    expect(target.seen.closed).toBeGreaterThanOrEqual(1)
  })

  it('an operation on a file', async () => {
    const file = new HeldStorage(raw.length)
    let user: StorageUser | undefined
    const checking = check({
      open: (options: StorageOpenOptions = {}) => {
        user = options.user
      },
      size: () => file.size(),
      read: (offset: number, length: number, { signal }: { readonly signal: AbortSignal }) =>
        file.read(offset, length, { signal }),
    })
    await file.asked
    await Promise.all([user?.close(), expect(checking).rejects.toMatchObject({ code: 'IN_USE' })])
  })

  it('through other storages over it', async () => {
    const bytes = new CountedStorage(raw)
    let user: StorageUser | undefined
    const file = {
      open: (options: { readonly user?: StorageUser | undefined } = {}) => {
        user = options.user
      },
      size: () => bytes.size(),
      read: (offset: number, length: number) => bytes.read(offset, length),
    }
    const image = await Qcow2.open(readAhead(file))
    await user?.close()
    expect(image.closed).toBe(true)
  })
})
