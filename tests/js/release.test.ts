import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { HostStorage } from '../../src/js/engine/host-storage.js'
import type { EngineModule } from '../../src/js/engine/module.js'
import { editing, editor, init } from '../../src/js/engine/modules.js'
import { openWith } from '../../src/js/engine/opening.js'
import { reader } from '../../src/js/engine/reader.js'
import type { Storages } from '../../src/js/engine/storages.js'
import { Tables } from '../../src/js/engine/tables.js'
import {
  type AsyncStorage,
  amend,
  check,
  commit,
  compare,
  convert,
  inspect,
  memory,
  openDisk,
  overlay,
  Qcow2,
  raw as rawDisk,
  repair,
  type Storage,
  type SyncStorage,
} from '../../src/js/index.js'
import { Qcow2 as Reader } from '../../src/js/read.js'
import { engineMemory, Tracked } from './helpers/garbage.js'
import { contents, create, convert as make } from './helpers/qemu.js'
import { createEncrypted, luks, passphrase } from './helpers/secret.js'
import { CountedStorage, HeldStorage, settle } from './helpers/storages.js'

/** What an image is open over. */
type Opened = [Storages, HostStorage]

const MiB = 1024 * 1024
const disk = contents(2 * MiB, 31)
const path = make('image.qcow2', disk)
const image = readFileSync(path)
const packed = readFileSync(make('packed.qcow2', disk, '-c'))
const over = readFileSync(create('over.qcow2', 2 * MiB, '-b', path, '-F', 'qcow2'))
const divided = readFileSync(create('divided.qcow2', MiB, '-o', 'data_file=divided.raw'))
const locked = readFileSync(createEncrypted('locked.qcow2', luks))

/** A use of the package; it notes all that it gives to it. */
type Use = (tracked: Tracked) => Promise<unknown>

const sync = (tracked: Tracked, bytes: Uint8Array = image): SyncStorage => tracked.note(memory(bytes))
const async = (tracked: Tracked, bytes: Uint8Array = image): AsyncStorage => tracked.note(new CountedStorage(bytes))
const file = (tracked: Tracked, bytes: Uint8Array = image) => tracked.note(memory(bytes))
const newFile = (tracked: Tracked) => tracked.note(memory())

/** Lives longer than all that is done with its signal. */
const ofTheApp = new AbortController()

/** Opens an image over a storage, and closes it when it was used. */
const open = (storage: (tracked: Tracked) => Storage, use: (image: Qcow2) => unknown): Use => {
  return async (tracked) => {
    const image = tracked.note(await Qcow2.open(storage(tracked)))
    await use(image)
    await image.close()
  }
}

/** Expects a rejection. */
const failing = (promise: Promise<unknown>): Promise<void> =>
  promise.then(
    () => expect.unreachable(),
    () => {},
  )

const uses: Record<string, Use> = {
  'an image that was read': open(sync, (image) => image.read(0, MiB)),
  'an image over an asynchronous storage': open(async, (image) => image.read(0, MiB)),
  'an image of compressed clusters': open(
    (tracked) => async(tracked, packed),
    (image) => image.read(0, MiB),
  ),
  'an image that was written': async (tracked) => {
    const image = tracked.note(await Qcow2.open(file(tracked), { writable: true }))
    await image.write(12_345, disk.subarray(0, MiB))
    await image.writeZeroes(0, 65536)
    await image.snapshots.create('one')
    await image.flush()
    await image.close()
  },
  'a new image': async (tracked) => {
    const image = tracked.note(await Qcow2.create(newFile(tracked), { size: MiB, onProgress: tracked.note(() => {}) }))
    await image.close()
  },
  'a chain, and who supplies it': async (tracked) => {
    const backing = tracked.note(() => sync(tracked))
    const image = tracked.note(await Qcow2.open(sync(tracked, over), { backing }))
    await image.read(0, MiB)
    await image.close()
  },
  'a data file, and who supplies it': async (tracked) => {
    const dataFile = tracked.note(() => async(tracked, disk))
    const image = tracked.note(await Qcow2.open(sync(tracked, divided), { dataFile }))
    await image.read(0, MiB)
    await image.close()
  },
  'an encrypted image, and who knows its passphrase': async (tracked) => {
    const key = tracked.note(new TextEncoder().encode(passphrase))
    const image = tracked.note(await Qcow2.open(sync(tracked, locked), { passphrase: tracked.note(async () => key) }))
    await image.read(0, MiB)
    await image.close()
  },
  'a snapshot that is closed before its image': async (tracked) => {
    const image = tracked.note(await Qcow2.open(file(tracked), { writable: true }))
    await image.snapshots.create('one')
    const snapshot = tracked.note(await image.snapshots.open('one'))
    await snapshot.read(0, MiB)
    await snapshot.close()
    await image.close()
  },
  'a snapshot that is closed after its image': async (tracked) => {
    const image = tracked.note(await Qcow2.open(file(tracked), { writable: true }))
    await image.snapshots.create('one')
    const snapshot = tracked.note(await image.snapshots.open('one'))
    await image.close()
    await snapshot.read(0, MiB)
    await snapshot.close()
  },
  'a walk that was left in its middle': async (tracked) => {
    const image = tracked.note(await Qcow2.open(file(tracked), { writable: true }))
    await image.snapshots.create('one')
    const walks = [image.map(), image.diff('one')]
    for (const walk of walks) await tracked.note(walk).next()
    await image.close()
  },
  'a stream that was read': open(async, async (image) => {
    for await (const chunk of image.readable()) expect(chunk.length).toBeGreaterThan(0)
  }),
  'a stream that was left in its middle': open(async, async (image) => {
    await image.readable({ chunkSize: 65536, signal: ofTheApp.signal }).getReader().read()
  }),
  'a stream that nobody took anything of': open(async, (image) => image.readable({ signal: ofTheApp.signal })),
  'a stream that was written to': async (tracked) => {
    const image = tracked.note(await Qcow2.create(newFile(tracked), { size: MiB }))
    const writer = tracked.note(image.writable({ signal: ofTheApp.signal })).getWriter()
    await writer.write(disk.subarray(0, 1000))
    await image.close()
  },
  'slices, and a disk over a disk': open(async, async (image) => {
    await image.slice(0, MiB).read(0, 1000)
    const inner = await rawDisk(image)
    await inner.read(0, 1000)
    await inner.close()
  }),
  'a raw disk': async (tracked) => {
    const opened = tracked.note(await openDisk(async(tracked, disk), { format: 'raw' }))
    await opened.read(0, MiB)
    await opened.close()
  },
  'what is no image': (tracked) => failing(Qcow2.open(async(tracked, disk))),
  'an image without its backing file': (tracked) => failing(Qcow2.open(sync(tracked, over))),
  'an image with the wrong passphrase': (tracked) =>
    failing(Qcow2.open(sync(tracked, locked), { passphrase: tracked.note(() => 'wrong') })),
  'an image whose backing file fails': (tracked) =>
    failing(Qcow2.open(sync(tracked, over), { backing: async(tracked, disk) })),
  'an image whose resolver throws': (tracked) =>
    failing(Qcow2.open(sync(tracked, over), { backing: tracked.note(() => Promise.reject(new Error('no'))) })),
  'a new image with bad options': (tracked) => failing(Qcow2.create(newFile(tracked), { size: 1, clusterSize: 5 })),
  'an opening that was aborted': async (tracked) => {
    const storage = tracked.note(new HeldStorage(image.length))
    const controller = new AbortController()
    const opening = Qcow2.open(storage, { signal: controller.signal })
    await storage.asked
    controller.abort()
    await failing(opening)
  },
  'an opening that was aborted while its resolver was asked': async (tracked) => {
    const controller = new AbortController()
    const backing = tracked.note(async () => {
      controller.abort()
      await settle()
      return sync(tracked)
    })
    await failing(Qcow2.open(async(tracked, over), { backing, signal: controller.signal }))
    await settle()
  },
  'reads that the closing ended': async (tracked) => {
    const storage = tracked.note(new CountedStorage(image))
    const opened = tracked.note(await Qcow2.open(storage))
    storage.read = () => new Promise(() => {})
    const reads = [opened.read(0, MiB), opened.read(5, 10)].map(failing)
    await settle()
    await opened.close()
    await Promise.all(reads)
  },
  'an image that its own storage closes': async (tracked) => {
    const file = memory(image)
    let opened: Qcow2 | undefined
    let closing: Promise<void> | undefined
    const storage: SyncStorage = tracked.note({
      size: () => file.size(),
      readSync(offset, into) {
        file.readSync(offset, into)
        closing ??= opened?.close()
      },
    })
    opened = tracked.note(await Qcow2.open(storage))
    const read = opened.read(MiB, 10)
    await failing(Promise.all([read, opened.info()]))
    await closing
    opened = undefined
  },
  'both files of a conversion': (tracked) => convert(async(tracked), newFile(tracked)),
  'both files of a conversion that compresses': (tracked) =>
    convert(sync(tracked), newFile(tracked), { compressed: true }),
  'both files of a conversion by zstd': (tracked) =>
    convert(sync(tracked), newFile(tracked), { compressed: true, compression: 'zstd' }),
  'both files of a conversion to a raw file': (tracked) =>
    convert(sync(tracked), newFile(tracked), { format: 'raw', onProgress: tracked.note(() => {}) }),
  'both files of a conversion that failed': async (tracked) => {
    const onProgress = tracked.note(() => {
      throw new Error('enough')
    })
    await failing(convert(sync(tracked), newFile(tracked), { onProgress, compressed: true }))
    await failing(convert(sync(tracked), file(tracked)))
  },
  'files that were looked at': async (tracked) => {
    await check(sync(tracked))
    await check(async(tracked))
    await inspect(async(tracked))
    await failing(check(sync(tracked, disk)))
  },
  'files that were changed': async (tracked) => {
    await repair(file(tracked), 'all')
    await amend(file(tracked), { lazyRefcounts: true })
  },
  'an overlay and its base': async (tracked) => {
    const local = newFile(tracked)
    const image = tracked.note(await overlay(async(tracked), local))
    await image.write(0, disk.subarray(0, 1000))
    await image.copyUp()
    await image.close()
  },
  'disks that were compared and committed': async (tracked) => {
    const base = tracked.note(await Qcow2.open(file(tracked), { writable: true }))
    const top = tracked.note(await Qcow2.open(file(tracked, over), { writable: true, backing: null }))
    await compare(base, top)
    await commit(top, base)
    await top.close()
    await base.close()
  },
}

describe('nothing holds what is closed', () => {
  const holdsNothing = async (use: (tracked: Tracked<object>) => Promise<unknown>, module: EngineModule) => {
    const tracked = new Tracked()
    for (let warm = 0; warm < 3; warm += 1) await use(tracked)
    const before = await engineMemory(module)
    for (let round = 0; round < 12; round += 1) await use(tracked)
    expect(tracked.count).toBeGreaterThanOrEqual(15)
    expect(await tracked.alive()).toBe(0)
    expect(await engineMemory(module)).toBe(before)
  }

  it('an image in the module that only reads', async () => {
    await holdsNothing(async (tracked) => {
      const image = tracked.note(await Reader.open(sync(tracked)))
      await image.read(0, MiB)
      await image.close()
    }, reader)
  })

  it('an image in the module that only reads, and its tables in the whole engine', async () => {
    await holdsNothing(async (tracked) => {
      const modules = { module: reader, editing, tables: (...its: Opened) => tracked.note(new Tables(...its, editing)) }
      const handle = tracked.note(await openWith(modules, sync(tracked), {}))
      await handle.run('check', [10])
      const walk = handle.walk('diff', undefined, undefined)
      await walk.next(1, undefined)
      await handle.close()
    }, editor)
  })

  it.each(Object.entries(uses))('%s', async (_, use) => {
    await init({ writable: true })
    await holdsNothing(use, editor)
  })
})
