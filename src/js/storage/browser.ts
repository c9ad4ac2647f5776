import { optionsIn } from '../base/arguments.js'
import type { WritableStorage } from '../base/storage/contract.js'
import { idb } from './idb/idb.js'
import { type OpfsOptions, opfs } from './opfs/opfs.js'
import { mustReplace } from './opfs/replaced.js'

/** What this browser has, here: on this page or in this worker. */
export interface Capabilities {
  /** The origin-private file system: `opfs` works. */
  readonly opfs: boolean
  /** `opfs` is synchronous here, so that `readSync` of an image works: true in dedicated workers. */
  readonly opfsSync: boolean
  /** IndexedDB: `idb` works. */
  readonly idb: boolean
  /** The user can be asked for a file that `fileHandle` then writes. */
  readonly filePicker: boolean
  /** Web Locks: two tabs never have one file of `idb`. Without, the page has to see to that. */
  readonly locks: boolean
}

/** How much room the browser grants. */
export interface Estimate {
  /** What the page's origin has stored, in bytes, as far as the browser reports it. */
  readonly usage: number
  /** What it may store, in bytes, as far as the browser reports it: it may be less when it comes to it. */
  readonly quota: number
  /** True if the browser removes it only when the user asks for that. */
  readonly persisted: boolean
}

/** What {@link bestStorage} picked. */
export interface BestStorage {
  /** A file that can be written. */
  readonly storage: WritableStorage
  /** Where it is. */
  readonly kind: 'opfs' | 'idb'
}

/**
 * Finds out what this browser has. It is tried where that is the only way to know, and everything is removed again.
 *
 * @example
 * ```ts
 * const { opfs, filePicker } = await capabilities()
 * console.log(opfs ? 'Images can be kept.' : 'Images are read only.', filePicker)
 * ```
 */
export async function capabilities(): Promise<Capabilities> {
  const { navigator, indexedDB } = globalThis
  const handles = globalThis as { showOpenFilePicker?: unknown; FileSystemFileHandle?: { prototype: object } }
  const accessHandles = 'createSyncAccessHandle' in (handles.FileSystemFileHandle?.prototype ?? {})
  // In private windows of some browsers it is there, and refuses.
  const root = await navigator?.storage?.getDirectory?.().catch(() => undefined)
  const found = root !== undefined && (accessHandles || typeof Worker === 'function' || mustReplace())
  return {
    opfs: found,
    opfsSync: found && accessHandles,
    idb: typeof indexedDB === 'object',
    filePicker: typeof handles.showOpenFilePicker === 'function',
    locks: navigator?.locks !== undefined,
  }
}

/**
 * A file in the best storage that this browser has: `opfs`, or else `idb`. It is made if it isn't there.
 *
 * @param name its name, and for `opfs` its path.
 * @throws {@link Qcow2Error} `INVALID_ARGUMENT` if there is neither.
 *
 * @example
 * ```ts
 * const { storage, kind } = await bestStorage('disk.qcow2')
 * const image = await Qcow2.create(storage, { size: 1024 ** 3 })
 * console.log(`The image is in ${kind}.`)
 * ```
 */
export async function bestStorage(name: string, options: Omit<OpfsOptions, 'create'> = {}): Promise<BestStorage> {
  const has = await capabilities()
  if (has.opfs) return { kind: 'opfs', storage: opfs(name, { ...optionsIn(options), create: true }) }
  return { kind: 'idb', storage: idb(name, options) }
}

/**
 * How much room there is; `undefined` if the browser does not report it.
 *
 * @example
 * ```ts
 * const { usage = 0, quota = 0 } = (await estimate()) ?? {}
 * console.log(quota - usage)
 * ```
 */
export async function estimate(): Promise<Estimate | undefined> {
  const manager = globalThis.navigator?.storage
  if (!manager?.estimate) return undefined
  const { usage = 0, quota = 0 } = await manager.estimate()
  return { usage, quota, persisted: (await manager.persisted?.()) ?? false }
}

/**
 * Asks the browser to keep what the page stores until the user removes it; some ask the user. Without, it may be removed
 * when the disk gets full.
 *
 * @returns whether it will.
 *
 * @example
 * ```ts
 * if (!(await persist())) console.log('The browser may remove the images when its disk gets full.')
 * ```
 */
export async function persist(): Promise<boolean> {
  return (await globalThis.navigator?.storage?.persist?.()) ?? false
}
