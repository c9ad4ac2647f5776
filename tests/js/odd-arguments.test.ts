import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  amend,
  blob,
  check,
  commit,
  compare,
  configure,
  convert,
  draft,
  fileHandle,
  http,
  inspect,
  isDisk,
  isQcow2Error,
  measure,
  memory,
  nodeFile,
  openDisk,
  overlay,
  prefetched,
  Qcow2,
  Qcow2Error,
  raw,
  readAhead,
  rebase,
  recorded,
  repair,
  sameBase,
  sameFile,
} from '../../src/js/index.js'
import { oddCalls } from './helpers/odd.js'
import { contents, create, file, convert as make } from './helpers/qemu.js'
import { createEncrypted, luks, passphrase } from './helpers/secret.js'
import { CountedStorage, readOnly } from './helpers/storages.js'

const MiB = 1024 * 1024
/** Options of a new image that `create` and `convert` both have. */
const layout = {
  version: 3,
  clusterSize: 65536,
  refcountBits: 16,
  lazyRefcounts: false,
  extendedL2: false,
  compression: 'zlib',
}
const disk = contents(MiB, 31)
const path = make('image.qcow2', disk)
const bytes = readFileSync(path)
const over = readFileSync(create('over.qcow2', MiB, '-b', path, '-F', 'qcow2'))
const locked = readFileSync(createEncrypted('locked.qcow2', luks))

/** What a call is given: the image that is used on afterwards comes first. */
type Call = readonly [args: () => readonly unknown[], call: (image: Qcow2, ...args: never[]) => unknown]

const watch = { signal: new AbortController().signal, onProgress: () => {} }
const readonlyFile = () => readOnly(bytes)
const file_ = () => memory(bytes)

const methods: Record<string, Call> = {
  read: [() => [0, 10, watch], (image, ...args) => image.read(...(args as [never, never]))],
  readInto: [() => [0, new Uint8Array(8), watch], (image, ...args) => image.readInto(...(args as [never, never]))],
  readSync: [() => [0, 10], (image, ...args) => image.readSync(...(args as [never, never]))],
  readIntoSync: [() => [0, new Uint8Array(8)], (image, ...args) => image.readIntoSync(...(args as [never, never]))],
  readable: [
    () => [{ offset: 0, length: 10, chunkSize: 5, ...watch }],
    (image, ...args) => image.readable(...(args as [])),
  ],
  slice: [() => [0, 10], (image, ...args) => image.slice(...(args as [never])).read(0, 0)],
  map: [() => [{ offset: 0, length: 10, ...watch }], (image, ...args) => image.map(...(args as []))],
  locate: [() => [0, watch], (image, ...args) => image.locate(...(args as [never]))],
  info: [() => [watch], (image, ...args) => image.info(...(args as []))],
  write: [() => [0, new Uint8Array(8), watch], (image, ...args) => image.write(...(args as [never, never]))],
  writeSync: [() => [0, new Uint8Array(8)], (image, ...args) => image.writeSync(...(args as [never, never]))],
  writeCompressed: [
    () => [0, new Uint8Array(65536), watch],
    (image, ...args) => image.writeCompressed(...(args as [never, never])),
  ],
  writeZeroes: [
    () => [0, 10, { unmap: true, ...watch }],
    (image, ...args) => image.writeZeroes(...(args as [never, never])),
  ],
  writeZeroesSync: [
    () => [0, 10, { unmap: true }],
    (image, ...args) => image.writeZeroesSync(...(args as [never, never])),
  ],
  discard: [() => [0, 10, watch], (image, ...args) => image.discard(...(args as [never, never]))],
  discardSync: [() => [0, 10], (image, ...args) => image.discardSync(...(args as [never, never]))],
  flush: [() => [watch], (image, ...args) => image.flush(...(args as []))],
  writable: [() => [{ offset: 0, length: 10, ...watch }], (image, ...args) => image.writable(...(args as []))],
  diff: [() => ['one', null, watch], (image, ...args) => image.diff(...(args as [never]))],
  resize: [
    () => [MiB, { shrink: true, preallocation: 'off', ...watch }],
    async (image, ...args) => {
      await image.resize(...(args as [never])).finally(() => image.resize(MiB, { shrink: true }))
    },
  ],
  check: [() => [{ maxFindings: 5, ...watch }], (image, ...args) => image.check(...(args as []))],
  copyUp: [() => [{ requests: 2, ...watch }], (image, ...args) => image.copyUp(...(args as []))],
  empty: [() => [watch], (image, ...args) => image.empty(...(args as []))],
  compact: [() => [{ detectZeroes: true, ...watch }], (image, ...args) => image.compact(...(args as []))],
  reclaimable: [() => [watch], (image, ...args) => image.reclaimable(...(args as []))],
  writeVmState: [
    () => [0, new Uint8Array(5), watch],
    (image, ...args) => image.writeVmState(...(args as [never, never])),
  ],
  readVmState: [() => [0, 5, watch], (image, ...args) => image.readVmState(...(args as [never, never]))],
  discardVmState: [() => [watch], (image, ...args) => image.discardVmState(...(args as []))],
  'snapshots.open': [() => ['one', watch], (image, ...args) => image.snapshots.open(...(args as [never]))],
  'snapshots.create': [
    () => [
      'two',
      { date: new Date(5), vmClockNsec: 5n, icount: 5n, vmState: new Uint8Array(5), onVmState: () => {}, ...watch },
    ],
    async (image, ...args) => {
      const { id } = await image.snapshots.create(...(args as [never]))
      await image.snapshots.delete(id)
    },
  ],
  'snapshots.apply': [() => ['one', watch], (image, ...args) => image.snapshots.apply(...(args as [never]))],
  'snapshots.delete': [() => ['none', watch], (image, ...args) => image.snapshots.delete(...(args as [never]))],
  'snapshots.rename': [
    () => ['one', 'one', watch],
    async (image, ...args) => {
      await image.snapshots.rename(...(args as [never, never]))
      await image.snapshots.rename(image.snapshots.list()[0]?.id ?? '', 'one')
    },
  ],
  'bitmaps.list': [() => [watch], (image, ...args) => image.bitmaps.list(...(args as []))],
  'bitmaps.create': [
    () => ['new', { granularity: 65536, enabled: true, ...watch }],
    async (image, ...args) => {
      await image.bitmaps.create(...(args as [never]))
      await image.bitmaps.delete(args[0] as never)
    },
  ],
  'bitmaps.delete': [() => ['none', watch], (image, ...args) => image.bitmaps.delete(...(args as [never]))],
  'bitmaps.clear': [() => ['none', watch], (image, ...args) => image.bitmaps.clear(...(args as [never]))],
  'bitmaps.enable': [() => ['none', watch], (image, ...args) => image.bitmaps.enable(...(args as [never]))],
  'bitmaps.disable': [() => ['none', watch], (image, ...args) => image.bitmaps.disable(...(args as [never]))],
  'bitmaps.extents': [() => ['none', watch], (image, ...args) => image.bitmaps.extents(...(args as [never]))],
  'bitmaps.merge': [
    () => ['none', 'none', undefined, watch],
    (image, ...args) => image.bitmaps.merge(...(args as [never, never])),
  ],
  'keySlots.list': [() => [watch], (image, ...args) => image.keySlots.list(...(args as []))],
  'keySlots.create': [
    () => ['one', 'two', { iterations: 1000, ...watch }],
    (image, ...args) => image.keySlots.create(...(args as [never, never])),
  ],
  'keySlots.change': [
    () => ['one', 'two', { iterationTime: 1, ...watch }],
    (image, ...args) => image.keySlots.change(...(args as [never, never])),
  ],
  'keySlots.delete': [() => [5, watch], (image, ...args) => image.keySlots.delete(...(args as [never]))],
  addEventListener: [
    () => ['change', () => {}, { once: true }],
    (image, ...args) => image.addEventListener(...(args as unknown as Parameters<Qcow2['addEventListener']>)),
  ],
  removeEventListener: [
    () => ['change', () => {}],
    (image, ...args) => image.removeEventListener(...(args as [never, never])),
  ],
  dispatchEvent: [() => [new Event('change')], (image, ...args) => image.dispatchEvent(...(args as [never]))],
}

const functions: Record<string, Call> = {
  'Qcow2.open': [
    () => [
      readonlyFile(),
      {
        writable: false,
        cache: 'writeback',
        backing: undefined,
        dataFile: undefined,
        passphrase: 'one',
        maxIterations: 1000,
        cacheSize: { tables: 5, clusters: 5 },
        worker: false,
        signal: watch.signal,
      },
    ],
    (_, ...args) => Qcow2.open(...(args as [never])),
  ],
  'Qcow2.open, of an overlay': [
    () => [
      memory(over),
      { backing: { storage: readonlyFile(), format: 'qcow2', dataFile: undefined, passphrase: '' } },
    ],
    (_, ...args) => Qcow2.open(...(args as [never])),
  ],
  'Qcow2.open, of an overlay by a list': [
    () => [memory(over), { backing: [readonlyFile()] }],
    (_, ...args) => Qcow2.open(...(args as [never])),
  ],
  'Qcow2.open, of an overlay by a function': [
    () => [readonlyFile()],
    (_, found) => Qcow2.open(memory(over), { backing: () => found }),
  ],
  'Qcow2.open, of an encrypted image': [
    () => [memory(locked), { passphrase }],
    (_, ...args) => Qcow2.open(...(args as [never])),
  ],
  'Qcow2.open, of an encrypted image by a function': [
    () => [passphrase],
    (_, found) => Qcow2.open(memory(locked), { passphrase: () => found }),
  ],
  'Qcow2.create': [
    () => [
      memory(),
      {
        size: MiB,
        ...layout,
        backing: { name: 'base', format: 'raw', storage: memory(bytes) },
        dataFile: { storage: memory(), name: 'data', raw: false },
        preallocation: 'off',
        overwrite: false,
        cache: 'writethrough',
        cacheSize: { tables: 5, clusters: 5 },
        worker: false,
        ...watch,
      },
    ],
    (_, ...args) => Qcow2.create(...(args as [never, never])),
  ],
  'Qcow2.create, encrypted': [
    () => [
      memory(),
      {
        size: MiB,
        encryption: {
          format: 'luks',
          passphrase: 'one',
          cipher: 'aes-256',
          mode: 'xts-plain64',
          hash: 'sha256',
          iterations: 1000,
        },
      },
    ],
    (_, ...args) => Qcow2.create(...(args as [never, never])),
  ],
  'Qcow2.create, encrypted in the legacy way': [
    () => [memory(), { size: MiB, encryption: { format: 'aes', passphrase: 'one' } }],
    (_, ...args) => Qcow2.create(...(args as [never, never])),
  ],
  raw: [() => [readonlyFile(), { writable: false, signal: watch.signal }], (_, ...args) => raw(...(args as [never]))],
  'a raw disk': [
    () => [0, new Uint8Array(8), watch],
    async (_, ...args) => {
      await using opened = await raw(file_(), { writable: true })
      await opened.write(...(args as [never, never]))
      await opened.readInto(...(args as [never, never]))
      await opened.writeZeroes(args[0] as never, 5, args[2])
      await opened.discard(args[0] as never, 5, args[2])
      await opened.flush(args[2])
    },
  ],
  openDisk: [
    () => [readonlyFile(), { format: 'qcow2', writable: false, ...watch }],
    (_, ...args) => openDisk(...(args as [never])),
  ],
  overlay: [
    () => [
      readonlyFile(),
      memory(),
      {
        format: 'qcow2',
        size: MiB,
        name: 'base',
        backing: [],
        passphrase: null,
        clusterSize: 65536,
        extendedL2: false,
        compression: 'zlib',
        cache: 'writeback',
        cacheSize: {},
        signal: watch.signal,
        worker: false,
        base: { identity: 'one' },
        acceptChangedBase: false,
      },
    ],
    (_, ...args) => overlay(...(args as [never, never])),
  ],
  check: [
    () => [readonlyFile(), { maxFindings: 5, worker: false, ...watch }],
    (_, ...args) => check(...(args as [never])),
  ],
  inspect: [() => [readonlyFile(), { worker: false, ...watch }], (_, ...args) => inspect(...(args as [never]))],
  repair: [
    () => [file_(), 'all', { acceptLoss: false, maxFindings: 5, worker: false, ...watch }],
    (_, ...args) => repair(...(args as [never, never])),
  ],
  amend: [
    () => [
      file_(),
      {
        version: 3,
        lazyRefcounts: false,
        refcountBits: 16,
        backing: { name: 'base', format: 'raw' },
        dataFile: undefined,
        worker: false,
        ...watch,
      },
    ],
    (_, ...args) => amend(...(args as [never, never])),
  ],
  convert: [
    () => [
      readonlyFile(),
      memory(),
      {
        format: 'qcow2',
        sourceFormat: 'qcow2',
        ...layout,
        encryption: undefined,
        overwrite: false,
        cache: 'writeback',
        cacheSize: {},
        worker: false,
        backing: undefined,
        preallocation: 'off',
        compressed: true,
        workers: 0,
        sparseSize: 4096,
        detectZeroes: true,
        existing: false,
        salvage: false,
        acceptMissing: false,
        targetIsZero: true,
        ...watch,
      },
    ],
    (_, ...args) => convert(...(args as [never, never])),
  ],
  'convert, to a raw file': [
    () => [[readonlyFile()], memory(), { format: 'raw', existing: false, targetIsZero: false, onUnreadable: () => {} }],
    (_, ...args) => convert(...(args as [never, never])),
  ],
  'convert, an open image': [
    () => [memory(), { compressed: false }],
    (image, ...args) => convert(image, ...(args as [never, never])),
  ],
  compare: [
    () => [{ strict: true, ...watch }, readonlyFile()],
    async (image, options, other) => {
      await compare(image, image, options)
      await compare(image, other)
    },
  ],
  measure: [
    () => [
      {
        format: 'qcow2',
        size: MiB,
        clusterSize: 65536,
        refcountBits: 16,
        extendedL2: false,
        preallocation: 'off',
        backing: false,
        luksBytes: 5,
        bitmaps: [{ name: 'one', granularity: 65536, inUse: false, auto: true }],
        ...watch,
      },
      null,
    ],
    async (image, options, source) => {
      await measure(undefined, options)
      await measure(image, options)
      await measure(source ?? undefined, { size: 5 })
    },
  ],
  commit: [
    () => [{ keep: true, ...watch }, null],
    async (image, options, base) => {
      await using other = await Qcow2.open(file_(), { writable: true })
      await commit(image, other, options)
      await commit(image, base ?? other, { keep: true })
    },
  ],
  rebase: [
    () => [null, { compress: false, sharedDepth: 1, oldSize: MiB, ...watch }],
    async (_, ...args) => {
      await using other = await Qcow2.open(file_(), { writable: true })
      await rebase(other, ...(args as [never]))
    },
  ],
  memory: [() => [new Uint8Array(8)], (_, ...args) => memory(...(args as []))],
  blob: [
    () => [new Blob(['odd']), { sync: false, readAhead: { budget: 5, window: 5, block: 5, gap: 5 } }],
    (_, ...args) => blob(...(args as [never])),
  ],
  fileHandle: [() => [{}, { writable: true }], (_, ...args) => fileHandle(...(args as [never]))],
  http: [
    () => [
      'http://127.0.0.1:9/',
      {
        sync: false,
        requestInit: {},
        readAhead: { budget: 5, window: 5, block: 5, gap: 5 },
        persistentCache: 0,
        connections: 5,
        retries: 0,
        retryDelay: 5,
        timeout: 5,
        download: false,
        ...watch,
      },
    ],
    (_, ...args) => http(...(args as [never])),
  ],
  nodeFile: [
    () => [file('image.qcow2'), { sync: false, create: false }],
    (_, ...args) => nodeFile(...(args as [never])),
  ],
  draft: [() => [readonlyFile()], (_, ...args) => draft(...(args as [never]))],
  readAhead: [
    () => [new CountedStorage(bytes), { budget: 5, window: 5, block: 5, gap: 5 }],
    (_, ...args) => readAhead(...(args as [never])),
  ],
  prefetched: [
    () => [new CountedStorage(bytes), [[0, 5]], { ahead: 5 }],
    (_, ...args) => prefetched(...(args as [never, never])),
  ],
  recorded: [() => [new CountedStorage(bytes)], (_, ...args) => recorded(...(args as [never]))],
  sameBase: [
    () => ['one#size=1', readonlyFile(), { identity: 'one', signal: watch.signal }],
    (_, ...args) => sameBase(...(args as [never, never])),
  ],
  sameFile: [() => ['one#size=1', 'two#size=1'], (_, ...args) => sameFile(...(args as [never, never]))],
  configure: [
    () => [{ wasm: undefined, worker: undefined, files: { wasm: undefined, worker: undefined } }],
    (_, ...args) => configure(...(args as unknown as [never])),
  ],
  isDisk: [() => [{}], (_, ...args) => isDisk(...(args as [never]))],
  isQcow2Error: [() => [{}], (_, ...args) => isQcow2Error(...(args as [never]))],
  'new Qcow2Error': [
    () => ['STORAGE', 'It failed.', { offset: 5, depth: 1, cause: null, file: { name: 'base', format: 'raw' } }],
    (_, ...args) => new Qcow2Error(...(args as unknown as ConstructorParameters<typeof Qcow2Error>)),
  ],
  'Qcow2Error.from': [() => [{}], (_, ...args) => Qcow2Error.from(...(args as [never]))],
}

/** Opens a writable image with a snapshot. */
async function opened(): Promise<Qcow2> {
  const image = await Qcow2.open(file_(), { writable: true })
  await image.snapshots.create('one')
  return image
}

const odd = oddCalls((error) => isQcow2Error(error) && error.kind !== 'engine')

describe.each([
  ['a method', methods],
  ['a function', functions],
])('%s refuses what it cannot take, and the image works on', (_, calls) => {
  it.each(Object.entries(calls))('%s', async (_, [args, call]) => {
    const image = await opened()
    expect(await odd.attempt(args, (...given) => call(image, ...given))).toEqual([])
    await image.write(5, new Uint8Array([1, 2, 3]))
    expect([...(await image.read(5, 3))]).toEqual([1, 2, 3])
    expect((await image.check()).verdict).toBe('clean')
    await image.close()
  })
})
