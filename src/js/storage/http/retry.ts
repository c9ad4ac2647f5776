import { onAbort } from '../../base/abort.js'

/** How often, and how soon, what failed is tried again. */
export interface Patience {
  /** How many times more. */
  readonly retries: number
  /** The first pause in milliseconds; each is twice as long as the one before. */
  readonly delay: number
}

/** A failure that may be gone the next time. */
export class Transient extends Error {
  /** The error for the caller after the last retry. */
  readonly error: Error
  /** How long the other side wants to be left alone, in milliseconds. */
  readonly after: number
  /** How often it is worth trying again: less often where each attempt is dear, and will hardly do better. */
  readonly retries: number

  constructor(error: Error, { after = 0, retries = Number.POSITIVE_INFINITY } = {}) {
    // Not the message of that error, by which it would be known as one of this package's.
    super('This may pass.')
    this.error = error
    this.after = after
    this.retries = retries
  }
}

/** The longest pause that another side is granted, in milliseconds. */
const longest = 60_000

/** Does `work`, and again while it throws {@link Transient}, with pauses that grow. */
export async function retry<T>(
  { retries, delay }: Patience,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  for (let failed = 0; ; failed += 1) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Transient)) throw error
      if (failed >= Math.min(retries, error.retries)) throw error.error
      // Not all at the same time: those that failed together would meet again.
      const pause = delay * 2 ** failed * (0.75 + Math.random() / 2)
      await sleep(Math.min(Math.max(pause, error.after), longest), signal)
    }
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      ignore()
      resolve()
    }, milliseconds)
    const ignore = onAbort(signal, abort)
    if (signal?.aborted) abort()
  })
}
