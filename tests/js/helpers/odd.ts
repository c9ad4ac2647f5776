/** Tries calls with values that are none, or no good ones, of most types. */
export interface OddCalls {
  /**
   * Makes a call as it should be made, and then with each odd value in each place of its arguments: parameters, and the members
   * of plain objects and lists. Returns a sentence for each error that is not one that `isRefusal` knows.
   */
  attempt(args: () => readonly unknown[], call: (...args: never[]) => unknown): Promise<string[]>
}

/**
 * `isRefusal` is true for an error with which an argument may be refused.
 *
 * Everything is within this function: it also runs in a browser, where only its own text is.
 */
export function oddCalls(isRefusal: (error: unknown) => boolean): OddCalls {
  /** What something of the caller's throws, which comes out as it is. */
  const thrown = new Error('something threw')
  const shared = () => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer
  const detached = (array: Uint8Array<ArrayBuffer>) => {
    structuredClone(array, { transfer: [array.buffer] })
    return array
  }
  const odd: Record<string, () => unknown> = {
    undefined: () => undefined,
    null: () => null,
    'not a number': () => Number.NaN,
    '−1': () => -1,
    'a fraction': () => 0.5,
    '2^53': () => 2 ** 53,
    infinity: () => Number.POSITIVE_INFINITY,
    'a bigint': () => 0n,
    'a negative bigint': () => -1n,
    'a huge bigint': () => 1n << 64n,
    true: () => true,
    'a symbol': () => Symbol('odd'),
    'no text': () => '',
    'a text': () => 'odd',
    'an object': () => ({}),
    'an object without a prototype': () => Object.create(null),
    'an array': () => [],
    'a function': () => () => 5,
    'no date': () => new Date(Number.NaN),
    'a detached array': () => detached(new Uint8Array(8)),
    'a detached buffer': () => detached(new Uint8Array(8)).buffer,
    'a shared array': () => new Uint8Array(shared(), 0, 8),
    'a view of shared memory': () => new DataView(shared(), 0, 8),
    'getters that throw': () =>
      new Proxy(
        {},
        {
          get() {
            throw thrown
          },
        },
      ),
    'a thenable': () => ({
      // biome-ignore lint/suspicious/noThenProperty: that is what is tried
      then: (resolve: (value: unknown) => void) => resolve(null),
    }),
    'a rejected promise': () => {
      const rejected = Promise.reject(thrown)
      rejected.catch(() => {})
      return rejected
    },
    'half a storage': () => ({ size: 5, read: true }),
    'an aborted signal that is none': () => ({ aborted: true, reason: 'odd' }),
  }

  const isPlain = (value: unknown): value is object =>
    Array.isArray(value) || (typeof value === 'object' && value !== null && value.constructor === Object)

  /** Where there are values in what a call is given. */
  const paths = (value: unknown): (string | number)[][] =>
    isPlain(value)
      ? Object.entries(value).flatMap(([key, each]) => [[key], ...paths(each).map((path) => [key, ...path])])
      : []

  const replaced = (value: unknown, [key, ...rest]: (string | number)[], by: unknown): unknown => {
    if (key === undefined) return by
    const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string | number, unknown>
    copy[key] = replaced(copy[key], rest, by)
    return copy
  }

  /** Uses what a call returned: a walk, a stream or a disk may refuse only then. */
  const used = async (value: unknown): Promise<void> => {
    if (typeof value !== 'object' || value === null) return
    if (Symbol.asyncIterator in value && 'next' in value) {
      for await (const _ of value as AsyncIterable<unknown>) break
    } else if (value instanceof ReadableStream) {
      const reader = value.getReader()
      await reader.read()
      await reader.cancel()
    } else if (value instanceof WritableStream) {
      const writer = value.getWriter()
      writer.closed.catch(() => {})
      await writer.write(new Uint8Array(1))
      await writer.abort()
    } else if ('slice' in value && 'readInto' in value) {
      const disk = value as unknown as import('../../../src/js/index.js').Disk
      await disk.read(0, Math.min(disk.size, 10))
      await disk.close()
    }
  }

  /** Waits for all that a call leads to; returns what is wrong with its error. */
  const problemOf = async (call: () => unknown): Promise<string | undefined> => {
    try {
      await used(await call())
      return undefined
    } catch (error) {
      if (error === thrown) return undefined
      // A name that is missing, or two rules in one sentence, would not help the caller.
      const words = error instanceof Error ? error.message : ''
      if (isRefusal(error) && !/undefined must|must be .*must be/.test(words)) return undefined
      return error instanceof Error ? `${error.name}: ${words}` : `not an error: ${typeof error}`
    }
  }

  return {
    async attempt(args, call) {
      const problems: string[] = []
      await problemOf(() => call(...(args() as never[])))
      for (const path of paths(args())) {
        for (const [name, value] of Object.entries(odd)) {
          const given = replaced(args(), path, value()) as never[]
          const problem = await problemOf(() => call(...given))
          if (problem) problems.push(`${path.join('.')}: ${name}: ${problem}`)
        }
      }
      return problems
    },
  }
}
