/** What is used of Node's `process`; declared here so that users of this package's types do not need Node's. */
interface Process {
  readonly versions?: { readonly node?: string }
  getBuiltinModule?(name: string): unknown
}

/**
 * Returns a module of Node, or `undefined` where there is none: on pages and in their workers. Bundlers see no import,
 * so that the package also builds for browsers.
 */
export function nodeModule<T>(name: `node:${string}`): T | undefined {
  const { process } = globalThis as { process?: Process }
  if (typeof process?.versions?.node !== 'string') return undefined
  return process.getBuiltinModule?.(name) as T | undefined
}
