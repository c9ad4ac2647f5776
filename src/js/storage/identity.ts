import { show, text } from '../base/arguments.js'
import { invalidArgument } from '../base/errors.js'

/**
 * Returns whether two recorded identities of files can be of the same file in the same state. An identity is what a storage's
 * `identity` returns and what {@link overlay} records as the name of the backing file: `name#size=…&etag=…`. Only what both have
 * of the state is compared; the names may differ, because a file may have been moved. Where both hold an identity that an app
 * chose, that one and the length decide.
 *
 * @example
 * ```ts
 * const { backingFile } = await image.info()
 * if (!sameFile(backingFile, 'base.qcow2#size=1048576&etag=5')) warn('The base has changed.')
 * ```
 */
export function sameFile(one: string | undefined, other: string | undefined): boolean {
  return compareFiles(text(one ?? '', 'An identity'), text(other ?? '', 'An identity')) === 'same'
}

/**
 * How two identities compare: the `same` file; `undecided`, because only a tag or a date differs, which servers give
 * anew with each deployment; or `another` file.
 */
export function compareFiles(one: string | undefined, other: string | undefined): 'same' | 'undecided' | 'another' {
  const [was, is] = [stateOf(one), stateOf(other)]
  const both = (key: string) => was.has(key) && is.has(key)
  const differ = (key: string) => both(key) && was.get(key) !== is.get(key)
  if (differ('size') || differ(chosen)) return 'another'
  if (both(chosen)) return 'same'
  if (both(samples)) return differ(samples) ? 'another' : 'same'
  return [...was.keys()].some(differ) ? 'undecided' : 'same'
}

/** An identity with another name. */
export function renamed(identity: string, name: string): string {
  return `${name}#${stateOf(identity)}`
}

/** An identity with one that the app chose. */
export function withChosen(identity: string, id: string): string {
  if (typeof id !== 'string' || id === '' || id.length > longest) {
    throw invalidArgument(`base.identity must be a text of 1 to ${longest} characters; it is ${show(id)}.`)
  }
  return changed(identity, chosen, id)
}

/** An identity with the hash of the file's samples. */
export function withSamples(identity: string, hash: string): string {
  return changed(identity, samples, hash)
}

/** The hash of the samples that an identity holds. */
export function samplesOf(identity: string): string | undefined {
  return stateOf(identity).get(samples) ?? undefined
}

/** True if an identity holds what a server may give anew to the same bytes, and nothing that an app chose. */
export function isPassing(identity: string): boolean {
  const state = stateOf(identity)
  return !state.has(chosen) && [...state.keys()].some((key) => key !== 'size' && key !== samples)
}

/** What the app chose, and the hash of the samples, as an identity names them. */
const [chosen, samples] = ['id', 'samples']

/** The longest identity that an app may choose: the name of a backing file has 1023 bytes. */
const longest = 128

function changed(identity: string, key: string, value: string): string {
  const state = stateOf(identity)
  state.set(key, value)
  return `${nameOf(identity)}#${state}`
}

function nameOf(identity: string): string {
  const at = identity.lastIndexOf('#')
  return at < 0 ? identity : identity.slice(0, at)
}

/** The part of an identity about the file's state: all after its last number sign, because the name may have some too. */
function stateOf(identity = ''): URLSearchParams {
  const at = identity.lastIndexOf('#')
  return new URLSearchParams(at < 0 ? '' : identity.slice(at + 1))
}
