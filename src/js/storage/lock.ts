import { Qcow2Error } from '../errors.js'

/** What happens when two want the same file, which belongs to one at a time. */
export interface ClaimOptions {
  /**
   * If another tab, worker or storage has the file, ask it to let go, and wait until it has; else opening fails with code
   * `IN_USE`, as it does if the other is not one that lets go. Default: false.
   */
  readonly takeOver?: boolean | undefined
  /**
   * Called when somebody else asks for the file. Close the image here, which flushes it, and the other gets the file;
   * until then it waits. Without this function others are refused.
   */
  readonly onTakeOver?: (() => void | Promise<void>) | undefined
  /** Gives up waiting for the other; opening then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Lets a name go; fulfilled when another may have it. */
export type Unlock = () => Promise<void>

/**
 * Takes a name for oneself, or together with others who want it `shared`, among all tabs and workers of the origin, until
 * it is let go, or until the tab is gone. Where there are no Web Locks (without HTTPS) nothing is taken.
 *
 * @throws {@link Qcow2Error} `IN_USE` if somebody has it and does not let go.
 */
export async function lock(name: string, shared: boolean, options: ClaimOptions): Promise<Unlock> {
  const { takeOver, onTakeOver, signal } = options
  signal?.throwIfAborted()
  if (!globalThis.navigator?.locks) return async () => {}
  const mode = shared ? 'shared' : 'exclusive'
  let unlock = await hold(name, { mode, ifAvailable: true })
  if (!unlock && takeOver && (await isWilling(name))) {
    ask(name)
    unlock = await hold(name, { mode, ...(signal && { signal }) })
  }
  if (!unlock) throw new Qcow2Error('IN_USE', `${name} is in use: by another tab, worker or storage.`)
  return onTakeOver ? listen(name, onTakeOver, unlock) : unlock
}

/** Holds a lock until it is let go; `undefined` if it isn't available. */
function hold(name: string, options: LockOptions): Promise<Unlock | undefined> {
  return new Promise((resolve, reject) => {
    const granted = (held: Lock | null) => {
      if (!held) {
        resolve(undefined)
        return undefined
      }
      return new Promise<void>((release) => {
        resolve(async () => {
          release()
          await released
        })
      })
    }
    const released = navigator.locks.request(name, options, granted)
    released.catch(reject)
  })
}

/** Those who let go when they are asked say so by one more lock, which ends with them. */
function willingness(name: string): string {
  return `${name} (lets go)`
}

async function isWilling(name: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query()
  return held.some((each) => each.name === willingness(name))
}

function ask(name: string): void {
  const channel = new BroadcastChannel(name)
  channel.postMessage('take over')
  channel.close()
}

async function listen(name: string, onTakeOver: () => void | Promise<void>, unlock: Unlock): Promise<Unlock> {
  const channel = new BroadcastChannel(name)
  channel.onmessage = () => void onTakeOver()
  const unwilling = await hold(willingness(name), { mode: 'shared' })
  return async () => {
    channel.close()
    await unwilling?.()
    await unlock()
  }
}
