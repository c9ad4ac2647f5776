import { follow, unlessAborted } from '../../base/abort.js'
import { silent } from './answer.js'

/** An attempt to get something from a server. */
export interface Watch {
  /** Aborts when the caller aborts, and when the server has been silent for too long. */
  readonly signal: AbortSignal
  /** Notes that something came from the server. */
  progress(): void
}

/** How often the timer looks within the time that a server may be silent. */
const looks = 4

/**
 * Runs an attempt; it fails with {@link Transient} when nothing comes for `timeout` milliseconds, however much came before. A
 * server that is slow is thus waited for. With a `timeout` of 0 only `signal` ends it.
 */
export async function watched<T>(
  timeout: number,
  signal: AbortSignal | undefined,
  offset: number,
  attempt: (watch: Watch) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const ignore = follow(stop, signal)
  // Counted in turns of the event loop, not by the clock: after a thread was busy, or a computer asleep, what came meanwhile is
  // heard before the next turn.
  let silence = 0
  const look = () => {
    silence += 1
    if (silence > looks) stop.abort(silent(timeout, offset))
  }
  const timer = timeout > 0 ? setInterval(look, timeout / looks) : undefined
  const progress = () => {
    silence = 0
  }
  try {
    return await unlessAborted(attempt({ signal: stop.signal, progress }), stop.signal)
  } finally {
    clearInterval(timer)
    ignore()
  }
}
