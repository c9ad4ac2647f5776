/** How long the engine works at a time, in milliseconds, where it shares its thread. */
const limit = 20

let shared = false
let began = 0
let waiting: (() => void)[] = []

/**
 * From now on the engine works in time slices over synchronous storages too, over which it otherwise finishes what it has
 * begun: in a worker, where requests and aborts arrive only between slices. Synchronous requests may fail then.
 */
export function shareThread(): void {
  shared = true
}

/** True where {@link shareThread} was called. */
export function isThreadShared(): boolean {
  return shared
}

/** Begins a time slice: the thread has just come to a new task. */
export function beginTurn(): void {
  began = performance.now()
}

/** True if the time slice is used up. */
export function isTurnOver(): boolean {
  return performance.now() - began > limit
}

/** Resolves after the tasks that wait for the thread now. Unlike a timer it is not slower in a page that is hidden. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) postTurn()
  })
}

function postTurn(): void {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = () => {
    // An open port would keep Node from ending.
    port1.close()
    beginTurn()
    const next = waiting
    waiting = []
    for (const resolve of next) resolve()
  }
  port2.postMessage(undefined)
}
