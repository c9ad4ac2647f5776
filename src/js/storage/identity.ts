import { text } from '../base/arguments.js'
/**
 * Returns whether two recorded identities of files can be of the same file in the same state. An identity is what a storage's
 * `identity` returns and what {@link overlay} records as the name of the backing file: `name#size=…&etag=…`. Only what both say
 * of the state is compared; the names may differ, because a file may have been moved.
 *
 * ```ts
 * const { backingFile } = await image.info()
 * if (!sameFile(backingFile, base.identity())) warn('The base has changed.')
 * ```
 */
export function sameFile(one: string | undefined, other: string | undefined): boolean {
  const [was, is] = [stateOf(text(one ?? '', 'An identity')), stateOf(text(other ?? '', 'An identity'))]
  return [...was].every(([key, value]) => !is.has(key) || is.get(key) === value)
}

/** An identity with another name. */
export function renamed(identity: string, name: string): string {
  return `${name}#${stateOf(identity)}`
}

/** What an identity says of the file's state: all behind its last number sign, because the name may have some too. */
function stateOf(identity: string): URLSearchParams {
  const at = identity.lastIndexOf('#')
  return new URLSearchParams(at < 0 ? '' : identity.slice(at + 1))
}
