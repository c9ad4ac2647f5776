/** How long the engine works at a time, in milliseconds, where it shares its thread. */
const limit = 20

let shared = false
let began = 0
let waiting: (() => void)[] = []
let channel: MessageChannel | undefined

/**
 * From now on the engine lets others have their turn, also over synchronous storages, over which it otherwise ends what it
 * has begun: in a worker, where requests and aborts are heard only between turns. Synchronous requests may fail then.
 */
export function shareThread(): void {
  shared = true
}

/** True where {@link shareThread} was called. */
export function isThreadShared(): boolean {
  return shared
}

/** The thread has just come to something new. */
export function beginTurn(): void {
  began = performance.now()
}

/** True if others should have their turn. */
export function isTurnOver(): boolean {
  return performance.now() - began > limit
}

/** Resolves after those that wait for the thread now. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length > 1) return
    // A timer would wait longer.
    channel ??= openChannel()
    channel.port2.postMessage(undefined)
  })
}

function openChannel(): MessageChannel {
  const opened = new MessageChannel()
  opened.port1.onmessage = () => {
    beginTurn()
    const next = waiting
    waiting = []
    for (const resolve of next) resolve()
  }
  return opened
}
