import { follow } from '../base/abort.js'
import { callback, flag, optionsIn, signalIn } from '../base/arguments.js'
import type { StorageUser } from '../base/storage/contract.js'
import { fileInUse, hold, type Kind, lockOf, type Unlock } from './held-lock.js'

export type { Unlock }

/** What happens when two want the same file, which belongs to one at a time. */
export interface ClaimOptions {
  /**
   * If another tab, worker or storage has the file, ask it to let go, and wait until it has; else opening fails with code
   * `IN_USE`, as it does if the other is not one that lets go. Default: false.
   */
  readonly takeOver?: boolean | undefined
  /**
   * Called once for each tab, worker or storage that asks for the file. Close the image: closing flushes it, and the caller that
   * waits then gets the file. If the function throws, it is called again in a second. Without it, other callers are refused.
   *
   * Its argument stands for the image, also while the image is still being opened:
   *
   * ```ts
   * opfs('disk.qcow2', { onTakeOver: (image) => image.close() })
   * ```
   */
  readonly onTakeOver?: ((user: StorageUser) => void | Promise<void>) | undefined
  /**
   * Stops waiting for the other user; the storage's opening then rejects with the signal's reason, and that of an image with code
   * `STORAGE`, and the reason as its `cause`. So does the signal of an image's own opening, which then rejects with its reason.
   */
  readonly signal?: AbortSignal | undefined
}

/** How a file is claimed, by the caller's options: each member is read once. */
export function claimIn(options: ClaimOptions | undefined): ClaimOptions {
  const { takeOver, onTakeOver } = optionsIn(options)
  return {
    takeOver: flag(takeOver, 'takeOver'),
    onTakeOver: callback(onTakeOver, 'onTakeOver'),
    signal: signalIn(options),
  }
}

/** The user of a file that no image has open. */
const noImage: StorageUser = { closed: true, close: async () => {} }

/** `claim` for a worker, which knows nothing of what is opened on the page: that is `user`. */
export function claimFor<O extends ClaimOptions>(claim: O, user: StorageUser | undefined): O {
  const { onTakeOver } = claim
  return onTakeOver && user ? { ...claim, onTakeOver: () => onTakeOver(user) } : claim
}

/** As the worker takes it: no user can be sent to the page, which has its own. */
export function claimOfPage<O extends ClaimOptions>(claim: O): O {
  const onTakeOver = claim.onTakeOver as (() => void | Promise<void>) | undefined
  return onTakeOver ? { ...claim, onTakeOver: () => onTakeOver() } : claim
}

/**
 * Locks a file for one user, or together with other users that want it `shared`, among all tabs and workers of the origin, until
 * it is let go, or until the tab is gone. Where there are no Web Locks (without HTTPS) nothing is locked.
 *
 * @param opening aborts when the file is not wanted any more.
 * @param user the argument for `onTakeOver`.
 * @throws {@link Qcow2Error} `IN_USE` if another tab, worker or storage has the file and does not release it.
 */
export async function lock(
  kind: Kind,
  file: string,
  shared: boolean,
  { takeOver, onTakeOver, signal }: ClaimOptions,
  opening: AbortSignal,
  user: StorageUser = noImage,
): Promise<Unlock> {
  signal?.throwIfAborted()
  if (!globalThis.navigator?.locks) return async () => {}
  const name = lockOf(kind, file)
  const mode = shared ? 'shared' : 'exclusive'
  let unlock = await hold(name, { mode, ifAvailable: true })
  if (!unlock && takeOver && (await isWilling(name))) {
    unlock = (await wait(name, mode, [signal, opening])) ?? (await hold(name, { mode, ifAvailable: true }))
  }
  if (!unlock) throw fileInUse(file)
  return onTakeOver ? listen(name, () => onTakeOver(user), unlock) : unlock
}

/** A user that releases the file on request holds one more lock to announce that; the lock ends with the user. */
function willingness(name: string): string {
  return `${name} (lets go)`
}

async function isWilling(name: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query()
  return held.some((each) => each.name === willingness(name))
}

/** How often a file is asked for, in milliseconds. */
const pause = 1000

/**
 * Asks for a file until it is released: again and again, because the owner may not be ready yet, or another user may have got the file
 * first. Returns `undefined` if that user does not release it.
 */
async function wait(
  name: string,
  mode: LockMode,
  signals: readonly (AbortSignal | undefined)[],
): Promise<Unlock | undefined> {
  const channel = new BroadcastChannel(name)
  const stop = new AbortController()
  const ignore = follow(stop, ...signals)
  const asker = crypto.randomUUID()
  channel.postMessage(asker)
  const asking = setInterval(async () => {
    if (await isWilling(name)) channel.postMessage(asker)
    else stop.abort()
  }, pause)
  try {
    return await hold(name, { mode, signal: stop.signal })
  } catch (error) {
    for (const signal of signals) signal?.throwIfAborted()
    if (stop.signal.aborted) return undefined
    throw error
  } finally {
    clearInterval(asking)
    ignore()
    channel.close()
  }
}

async function listen(name: string, onTakeOver: () => void | Promise<void>, unlock: Unlock): Promise<Unlock> {
  const channel = new BroadcastChannel(name)
  /** The users that have answered. */
  const heard = new Set<string>()
  channel.onmessage = async ({ data: asker }) => {
    if (heard.has(asker)) return
    heard.add(asker)
    try {
      await onTakeOver()
    } catch (error) {
      heard.delete(asker)
      throw error
    }
  }
  const unwilling = await hold(willingness(name), { mode: 'shared' })
  return async () => {
    channel.close()
    // Both together: if no user releases the file, and it is not free, the wait ends.
    await Promise.all([unwilling?.(), unlock()])
  }
}
