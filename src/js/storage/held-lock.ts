import { Qcow2Error } from '../base/errors.js'
import type { StorageUser } from '../base/storage/contract.js'

/** The kinds of files, each with names of its own. */
export type Kind = 'opfs' | 'idb'

/** Lets a name go; fulfilled when another may have it. */
export type Unlock = () => Promise<void>

/** Locks a file for `user`, for it alone if it is `writable`, unless `opening` aborts before. */
export type Claiming = (opening: AbortSignal, user: StorageUser, writable: boolean) => Promise<Unlock>

/** The Web Lock of a file. */
export function lockOf(kind: Kind, file: string): string {
  return `qcow2-web/${kind}/${file}`
}

/** Locks a file together with other readers. Where there are no Web Locks (without HTTPS) nothing is locked. */
export async function lockToRead(kind: Kind, file: string): Promise<Unlock> {
  if (!globalThis.navigator?.locks) return async () => {}
  const unlock = await hold(lockOf(kind, file), { mode: 'shared', ifAvailable: true })
  if (!unlock) throw fileInUse(file)
  return unlock
}

/** The error of a file that another user has. */
export function fileInUse(file: string): Qcow2Error {
  return new Qcow2Error('IN_USE', `The file ${file} is in use: by another tab, worker or storage.`)
}

/** Holds a lock until it is let go; `undefined` if it isn't available. */
export function hold(name: string, options: LockOptions): Promise<Unlock | undefined> {
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
