/** How long a loop computes before messages of the page are handled, in milliseconds. */
const TURN = 40

/** Returns a function that yields once per time slice, so that messages are handled, such as a cancellation. */
export function turns(signal: AbortSignal): () => Promise<void> {
  let began = performance.now()
  return async () => {
    if (performance.now() - began > TURN) {
      await new Promise((resolve) => setTimeout(resolve))
      began = performance.now()
    }
    signal.throwIfAborted()
  }
}
