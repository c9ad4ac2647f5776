import { isDetached, show } from '../base/arguments.js'
import { FilesError } from './errors.js'

/**
 * The path of a file in a volume: names from the root on, separated by slashes. Bytes for names that are not UTF-8.
 *
 * `.`, `..` and symbolic links on the way are resolved within the volume: above the root is the root.
 */
export type FilePath = string | Uint8Array

const encoder = new TextEncoder()
const slash = 0x2f

/** The bytes of a path. */
export function pathBytes(path: FilePath): Uint8Array {
  if (typeof path === 'string') return encoder.encode(path)
  // A copy: the caller may use the array again before the call has its turn.
  if (path instanceof Uint8Array && !isDetached(path)) return new Uint8Array(path)
  throw new FilesError('INVALID', `A path must be a string or a Uint8Array; it is ${show(path)}.`)
}

/** The path of `name` in the directory at `path`: text, as long as both are. */
export function joinPath(path: FilePath, name: string, nameBytes: Uint8Array | undefined): FilePath {
  if (typeof path === 'string' && !nameBytes) return path.endsWith('/') ? path + name : `${path}/${name}`
  const [before, after] = [pathBytes(path), nameBytes ?? encoder.encode(name)]
  const gap = before[before.length - 1] === slash ? 0 : 1
  const joined = new Uint8Array(before.length + gap + after.length)
  joined.set(before)
  if (gap) joined[before.length] = slash
  joined.set(after, before.length + gap)
  return joined
}

/** The last name of a path as text, or nothing for the root. */
export function lastName(path: FilePath): string {
  const text = typeof path === 'string' ? path : new TextDecoder().decode(path)
  return (
    text
      .split('/')
      .filter((name) => name && name !== '.')
      .pop() ?? ''
  )
}

const decoder = new TextDecoder()

/** A path for a message. */
export function shownPath(path: FilePath): string {
  return typeof path === 'string' ? path : decoder.decode(path)
}

/** Names of devices that Windows keeps for itself, with any extension. */
const reserved = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)/i

/** A name that every system can hold, and that stays in its directory. */
export function safeName(name: string): string {
  const replaced = name.replace(/[\p{Cc}<>:"/\\|?*]/gu, '_').replace(/[. ]+$/, (end) => '_'.repeat(end.length))
  return reserved.test(replaced) ? `_${replaced}` : replaced || '_'
}

/** Makes names differ that would be one on a system without case: the second `a` becomes `a (2)`. */
export class UniqueNames {
  readonly #used = new Set<string>()

  /** A name like `name` that is not in use yet. */
  take(name: string): string {
    const dot = name.lastIndexOf('.')
    const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
    let unique = name
    for (let number = 2; this.#used.has(key(unique)); number++) unique = `${stem} (${number})${extension}`
    this.#used.add(key(unique))
    return unique
  }
}

function key(name: string): string {
  return name.normalize('NFC').toLowerCase()
}
