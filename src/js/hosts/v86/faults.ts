import { isQcow2Error, Qcow2Error } from '../../index.js'
import type { V86DiskOptions, V86Fault, V86Request } from './types.js'

/**
 * How long a failing storage is asked again. The last attempt takes some seconds more over HTTP, and all of it must be less than
 * the 30 seconds after which Linux resets a drive.
 */
const patience = 20_000
const firstPause = 250
const longestPause = 2000

/** Decides about the failures of one request, from the first one on. */
export type Decide = (error: Qcow2Error, signal: AbortSignal | undefined) => Promise<V86Fault>

/** Decides about the failures of a disk: by `onFault`, or else by a default. */
export class Faults {
  readonly #onFault: V86DiskOptions['onFault']
  /** True once the disk has waited for its storage in vain. Until something succeeds, it does not wait again. */
  #gone = false

  constructor(onFault: V86DiskOptions['onFault']) {
    this.#onFault = onFault
  }

  /** Returns what decides about the failures of a request. */
  policy(request: V86Request): Decide {
    return this.#onFault ? asked(this.#onFault, request) : this.#patient()
  }

  /** A request has succeeded. */
  succeeded(): void {
    this.#gone = false
  }

  /** Retries requests to a storage that fails for a while, from now on. Other errors would come back as they are. */
  #patient(): Decide {
    const deadline = performance.now() + patience
    let pause = firstPause
    return async (error, signal) => {
      if (error.code !== 'STORAGE') return 'fail'
      this.#gone ||= performance.now() + pause > deadline
      if (this.#gone) return 'fail'
      await delay(pause, signal)
      pause = Math.min(pause * 2, longestPause)
      return 'retry'
    }
  }
}

function asked(onFault: NonNullable<V86DiskOptions['onFault']>, request: V86Request): Decide {
  return async (error) => {
    try {
      return (await onFault(error, request)) === 'retry' ? 'retry' : 'fail'
    } catch (thrown) {
      reportUncaught(thrown)
      return 'fail'
    }
  }
}

/** Waits; an aborted signal ends the wait. */
function delay(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
  })
}

/** What the image rejected with, as a `Qcow2Error`. */
export function asError(thrown: unknown): Qcow2Error {
  if (isQcow2Error(thrown)) return thrown
  const words = thrown instanceof Error ? thrown.message : String(thrown)
  return new Qcow2Error('STORAGE', `The image failed: ${words}`, { cause: thrown })
}

/** Reports an exception of the caller's own function as uncaught, for nothing here waits for it. */
export function reportUncaught(thrown: unknown): void {
  queueMicrotask(() => {
    throw thrown
  })
}
