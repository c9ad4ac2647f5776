import { Qcow2Error } from '../errors.js'

/**
 * Takes a name for oneself, among all tabs and workers of the origin, until what this returns is called, or until the tab is
 * gone. Where there are no Web Locks (without HTTPS) nothing is taken.
 *
 * @throws {@link Qcow2Error} `IN_USE` if somebody has it.
 */
export function lock(name: string): Promise<Unlock> {
  const locks = globalThis.navigator?.locks
  if (!locks) return Promise.resolve(async () => {})
  return new Promise((resolve, reject) => {
    const hold = (held: Lock | null) => {
      if (!held) throw new Qcow2Error('IN_USE', `${name} is in use: by another tab, worker or storage.`)
      return new Promise<void>((release) => {
        resolve(async () => {
          release()
          await released
        })
      })
    }
    const released = locks.request(name, { ifAvailable: true }, hold)
    released.catch(reject)
  })
}

/** Lets a name go; fulfilled when another may have it. */
export type Unlock = () => Promise<void>
