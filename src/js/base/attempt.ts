/** Calls `call`; an exception that it throws becomes a rejection. */
export function attempt<T>(call: () => T | Promise<T>): Promise<T> {
  try {
    return Promise.resolve(call())
  } catch (exception) {
    return Promise.reject(exception)
  }
}
