import type { ByteCount } from '../base/arguments.js'
import { flag, optionsIn, signalIn, text } from '../base/arguments.js'
import { isQcow2Error } from '../base/errors.js'
import { explaining, measure, ready } from '../base/storage/access.js'
import { claim, disclaim } from '../base/storage/claims.js'
import {
  ask,
  exact,
  isStorage,
  isSync,
  isWritable,
  type Storage,
  type WritableStorage,
} from '../base/storage/contract.js'
import { hostAmendOptions } from '../engine/options/amend.js'
import type { Backing, BackingRequest, BackingResolver } from '../engine/options/backing.js'
import type { CreateOptions } from '../engine/options/create.js'
import { type DataFile, type DataFileResolver, dataFileStorage } from '../engine/options/data-file.js'
import { backingStorages } from '../engine/options/files.js'
import { workerIn } from '../engine/options/open.js'
import type { Passphrase, PassphraseResolver } from '../engine/options/passphrase.js'
import { runOnFileHere } from '../engine/run-on-file.js'
import { memory } from '../storage/memory/memory.js'
import { type Source, storageOf, type WritableSource } from '../storage/source.js'
import { Base, type BaseOptions, changedBase } from './base.js'
import { Qcow2 } from './qcow2.js'

/** How {@link overlay} makes and opens an overlay. */
export interface OverlayOptions
  extends Pick<
    CreateOptions,
    'clusterSize' | 'extendedL2' | 'compression' | 'cache' | 'cacheSize' | 'signal' | 'worker'
  > {
  /** The base's format. Default: the recorded one, and for a new overlay what the base's first bytes show. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /** The size of a new overlay's disk in bytes, at least the base's. Default: that. */
  readonly size?: ByteCount | undefined
  /** The base's name, to record it in a new overlay. Default: its address, or what else its storage knows; else `base`. */
  readonly name?: string | undefined
  /** The base's own backing files, if it has any: as {@link OpenOptions.backing} of the base. */
  readonly backing?: Backing | readonly Backing[] | BackingResolver | undefined
  /** The base's external data file, if it has one: as {@link OpenOptions.dataFile} of the base. */
  readonly dataFile?: Source | DataFile | DataFileResolver | undefined
  /** What the app knows about the base's content. Default: the base is identified by its length, its tag or date, and samples. */
  readonly base?: BaseOptions | undefined
  /**
   * Opens the overlay over this base whatever the recorded one was, and records this one. If any byte differs that the overlay
   * does not hold itself, the disk becomes a mixture that no file system survives. Default: false.
   */
  readonly acceptChangedBase?: boolean | undefined
  /** As {@link OpenOptions.passphrase} of the overlay: a function is asked for the base with depth 1, once. */
  readonly passphrase?: Passphrase | PassphraseResolver | null | undefined
}

/**
 * Opens an image over a base that is only read, such as one on a server: what is written goes into `local`, which becomes a
 * standard qcow2 image with the base as its backing file. It is made if `local` is empty, or if making it was cut short there.
 *
 * What the base is (its address, its length, its `ETag` or date) is recorded as the backing file's name, with the SHA-256 of samples
 * of its content. These take up to 35 requests for 448 KiB when the overlay is made; with `persistentCache` whole blocks are
 * fetched, and kept. Servers give a file another date and tag when they deploy it again. Where only these differ, the samples
 * are read once more, and if they are the same the new state is recorded. If the base is another one, that is refused with
 * code `FILE_CHANGED`: the two would be mixed. Samples can miss a small change; an app that makes such changes
 * names the content by {@link OverlayOptions.base}.
 *
 * The overlay itself is not encrypted, also over a base that is: what is written is in plain text in `local`.
 *
 * The image owns both storages: they are closed with it, or when this fails.
 *
 * @throws {@link Qcow2Error} `FILE_CHANGED`, and what opening and creating lead to; or the signal's reason.
 *
 * @example
 * ```ts
 * const image = await overlay(http('https://example.org/base.qcow2'), opfs('mine.qcow2', { create: true }))
 * await image.write(0, new Uint8Array(512)) // Into mine.qcow2: the base is only read.
 * await image.close()
 * ```
 */
export async function overlay(base: Source, local: WritableSource, options: OverlayOptions = {}): Promise<Qcow2> {
  const [below, above] = [storageOf(base, 'The base'), storageOf(local, 'The overlay') as WritableStorage]
  return overlayOf(below, above, checked(options))
}

/** Checks what is used of the options before an image is opened or created by them. */
function checked(options: OverlayOptions): OverlayOptions {
  const { name, backing: deeper, dataFile: data, base, acceptChangedBase, ...rest } = optionsIn(options)
  if (name !== undefined) text(name, 'name')
  const about = { base: optionsIn(base, 'base'), acceptChangedBase: flag(acceptChangedBase, 'acceptChangedBase') }
  const backing = backingStorages(deeper, storageOf) ?? undefined
  const dataFile = data === undefined ? undefined : dataFileStorage(data, 'dataFile', storageOf)
  return { ...rest, ...about, name, backing, dataFile, worker: workerIn(options), signal: signalIn(options) }
}

async function overlayOf(base: Storage, local: WritableStorage, options: OverlayOptions): Promise<Qcow2> {
  // Open all the while, so that it is asked only once what it is.
  await ready(base, { signal: options.signal })
  let isOpen = true
  const letGo = async () => {
    if (isOpen) await base.close?.()
    isOpen = false
  }
  try {
    const now = await Base.of(base, options.name, options.base, options.signal)
    if (await isMissing(local, options.signal, async () => blank(await now.recorded(), base, options))) {
      const image = await create(local, await now.recorded(), await look(base, options), options)
      await image.close()
    } else await compareBase(local, now, options)
    // A worker opens it by itself, and some storages only one can have.
    if (options.worker) await letGo()
    return await open(base, local, options)
  } finally {
    await letGo()
  }
}

/** Only makes it, on the page: the base is not needed for that, nor its passphrase. */
function create(local: WritableStorage, name: string, seen: Seen, options: OverlayOptions): Promise<Qcow2> {
  const { clusterSize, extendedL2, compression, signal, size = seen.size } = options
  const backing = { name, format: seen.format }
  return Qcow2.create(local, { size, clusterSize, extendedL2, compression, backing, signal })
}

/** The whole file of a new overlay. */
async function blank(name: string, base: Storage, options: OverlayOptions): Promise<Uint8Array> {
  const file = memory()
  const image = await create(file, name, await look(base, options), options)
  await image.close()
  return file.bytes()
}

/** Compares the base with the one that the overlay records. If it is the same file in another state, records that state. */
async function compareBase(
  local: WritableStorage,
  now: Base,
  { acceptChangedBase, signal }: OverlayOptions,
): Promise<void> {
  const { backingFile, backingFormat } = await runOnFileHere(local, 'read', 'inspect', [], { signal })
  if (backingFile === undefined) return
  const verdict = await now.compare(backingFile)
  if (verdict === 'same') return
  if (verdict === 'another' && !acceptChangedBase) throw changedBase(backingFile, now.identity)
  // Without a format the base is probed, as before.
  if (backingFormat !== 'qcow2' && backingFormat !== 'raw') return
  const what = hostAmendOptions({ backing: { name: await now.recorded(), format: backingFormat } })
  await runOnFileHere(local, 'write', 'amend', [what], { signal })
}

function open(base: Storage, local: WritableStorage, options: OverlayOptions): Promise<Qcow2> {
  const { format, backing: deeper, dataFile, passphrase, cache, cacheSize, signal, worker } = options
  const backing: BackingResolver = (request: BackingRequest) => {
    const { depth } = request
    if (depth === 1) return { storage: base, format, dataFile }
    if (typeof deeper === 'function' && !isStorage(deeper)) return deeper({ ...request, depth: depth - 1 })
    return (Array.isArray(deeper) ? deeper : [deeper])[depth - 2]
  }
  return Qcow2.open(local, { writable: true, backing, passphrase, cache, cacheSize, signal, worker })
}

/** The base's format, and the size of its disk. */
interface Seen {
  readonly format: 'qcow2' | 'raw'
  readonly size: number
}

async function look(base: Storage, options: OverlayOptions): Promise<Seen> {
  if (options.format !== 'raw') {
    try {
      const image = await Qcow2.open(base, {
        backing: options.backing,
        dataFile: options.dataFile,
        passphrase: null,
        signal: options.signal,
      })
      const { size } = image
      await image.close()
      return { format: 'qcow2', size }
    } catch (error) {
      if (options.format || !isQcow2Error(error) || error.code !== 'NOT_QCOW2') throw error
    }
  }
  return { format: 'raw', size: await measure(base) }
}

/**
 * True if there is no overlay yet. If a crash cut the creation of one short, its remains are removed: the first bytes of an image
 * are written last, so that what lacks them is no image. `blank` makes the whole file of a new overlay.
 */
async function isMissing(
  local: WritableStorage,
  signal: AbortSignal | undefined,
  blank: () => Promise<Uint8Array>,
): Promise<boolean> {
  claim(local, 'write')
  await ready(local, { signal, writable: true }, () => disclaim(local))
  try {
    const size = await measure(local)
    if (size === 0) return true
    const first = await bytesOf(local, Math.min(size, 4))
    if (first.some((byte) => byte !== 0) || !isWritable(local)) return false
    const whole = await blank()
    if (size > whole.length) return false
    const found = await bytesOf(local, size)
    if (!found.every((byte, at) => byte === 0 || byte === whole[at])) return false
    await clear(local)
    return true
  } finally {
    disclaim(local)
    await local.close?.()
  }
}

function clear(storage: WritableStorage): Promise<void> {
  return explaining('resized', async () => {
    await (isSync(storage) ? storage.truncateSync(0) : storage.truncate(0))
    await (isSync(storage) ? storage.flushSync() : storage.flush())
  })
}

/** The first bytes of a storage. */
function bytesOf(storage: Storage, length: number): Promise<Uint8Array> {
  return explaining('read', async () => {
    if (!isSync(storage)) return exact(await ask(storage, 0, length, new AbortController()), 0, length)
    const bytes = new Uint8Array(length)
    storage.readSync(0, bytes)
    return bytes
  })
}
