import type { Backing, BackingRequest, BackingResolver } from './backing.js'
import { storage as checkedStorage } from './checks.js'
import type { CreateOptions } from './create.js'
import { isQcow2Error, Qcow2Error } from './errors.js'
import { Qcow2 } from './image.js'
import type { Passphrase, PassphraseResolver } from './passphrase.js'
import type { Storage, WritableStorage } from './storage/types.js'
import { ready } from './storages.js'

/** How {@link overlay} makes and opens an overlay. */
export interface OverlayOptions
  extends Pick<
    CreateOptions,
    'clusterSize' | 'extendedL2' | 'compression' | 'cache' | 'cacheSize' | 'signal' | 'worker'
  > {
  /** The base's format. Default: the recorded one, and for a new overlay what the base's first bytes show. */
  readonly format?: 'qcow2' | 'raw' | undefined
  /** The size of a new overlay's disk in bytes, at least the base's. Default: that. */
  readonly size?: number | undefined
  /** The base's name, to record it in a new overlay. Default: its address, or what else its storage knows; else `base`. */
  readonly name?: string | undefined
  /** The base's own backing files, if it has any: as {@link OpenOptions.backing} of the base. */
  readonly backing?: readonly Backing[] | undefined
  /** As {@link OpenOptions.passphrase} of the overlay: a function is asked for the base with depth 1, once. */
  readonly passphrase?: Passphrase | PassphraseResolver | null | undefined
}

/**
 * Opens an image over a base that is only read, such as one on a server: what is written goes into `local`, which becomes a
 * standard qcow2 image with the base as its backing file. It is made if `local` is empty.
 *
 * What the base is (its address, its length, its `ETag` or date) is recorded as the backing file's name. If the base is
 * another one when the overlay is opened again, that is refused with code `FILE_CHANGED`: the two would be mixed.
 *
 * The overlay itself is not encrypted, also over a base that is: what is written is in plain text in `local`.
 *
 * Both storages are taken over, and closed with the image or when this fails.
 *
 * @throws {@link Qcow2Error} `FILE_CHANGED`, and what opening and creating lead to; or the signal's reason.
 */
export async function overlay(base: Storage, local: WritableStorage, options: OverlayOptions = {}): Promise<Qcow2> {
  checkedStorage(base, 'The base')
  checkedStorage(local, 'The overlay')
  // Open all the while, so that it is asked only once what it is.
  await ready(base, options.signal)
  let held = true
  const letGo = async () => {
    if (held) await base.close?.()
    held = false
  }
  try {
    const identity = await identify(base, options.name)
    if (await isEmpty(local, options.signal)) await create(local, identity, await look(base, options), options)
    // A worker opens it by itself, and some storages only one can have.
    if (options.worker) await letGo()
    return await open(base, local, identity, options)
  } finally {
    await letGo()
  }
}

/** Only makes it, on the page: the base is not needed for that, nor its passphrase. */
async function create(local: WritableStorage, name: string, seen: Seen, options: OverlayOptions): Promise<void> {
  const { clusterSize, extendedL2, compression, signal, size = seen.size } = options
  const backing = { name, format: seen.format }
  const image = await Qcow2.create(local, { size, clusterSize, extendedL2, compression, backing, signal })
  await image.close()
}

function open(base: Storage, local: WritableStorage, identity: string, options: OverlayOptions): Promise<Qcow2> {
  const { format, backing: deeper = [], passphrase, cache, cacheSize, signal, worker } = options
  const backing: BackingResolver = ({ name, depth }: BackingRequest) => {
    if (depth > 1) return deeper[depth - 2]
    if (differ(name, identity)) {
      const reason = `The base is another than the one that the overlay was made over (${name}).`
      throw new Qcow2Error('FILE_CHANGED', reason)
    }
    return { storage: base, format }
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
      const image = await Qcow2.open(base, { backing: options.backing, passphrase: null, signal: options.signal })
      const { size } = image
      await image.close()
      return { format: 'qcow2', size }
    } catch (error) {
      if (options.format || !isQcow2Error(error) || error.code !== 'NOT_QCOW2') throw error
    }
  }
  return { format: 'raw', size: await base.size() }
}

async function identify(base: Storage, name: string | undefined): Promise<string> {
  const known = base.identity?.() ?? `base#size=${await base.size()}`
  return name === undefined ? known : known.replace(/^[^#]*/, () => name)
}

async function isEmpty(local: Storage, signal: AbortSignal | undefined): Promise<boolean> {
  await ready(local, signal)
  try {
    return (await local.size()) === 0
  } finally {
    await local.close?.()
  }
}

/** True if two names say of a file that it is in different states; where it is may differ. */
function differ(one: string, other: string): boolean {
  const [was, is] = [state(one), state(other)]
  return [...was].some(([key, value]) => is.has(key) && is.get(key) !== value)
}

function state(identity: string): URLSearchParams {
  const at = identity.lastIndexOf('#')
  return new URLSearchParams(at < 0 ? '' : identity.slice(at + 1))
}
