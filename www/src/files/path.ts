/**
 * Paths as the address has them: the path of a directory ends with a slash, that of a file does not. Bytes, where a name on
 * the way is not UTF-8.
 */

import type { FilePath } from 'qcow2-web/files'

export const ROOT: FilePath = '/'

const SLASH = 0x2f

/** The directory that a path leads to, or that the file at the path is in. */
export function directoryOf(path: FilePath): FilePath {
  return path.slice(0, lastSlash(path, path.length) + 1)
}

/** The name of the file that a path leads to; `null` for the path of a directory. */
export function fileNameOf(path: FilePath): string | null {
  return textOf(path.slice(lastSlash(path, path.length) + 1)) || null
}

/** The parent of the directory at `path`. The parent of the root is the root. */
export function parentOf(path: FilePath): FilePath {
  const above = path.slice(0, lastSlash(path, path.length - 1) + 1)
  return above.length === 0 ? ROOT : above
}

/** The path of the directory at `path`, with its slash. */
export function asDirectory(path: FilePath): FilePath {
  if (typeof path === 'string') return path.endsWith('/') ? path : `${path}/`
  return path.at(-1) === SLASH ? path : Uint8Array.of(...path, SLASH)
}

/** The path of `name` in a directory. */
export function inDirectory(directory: FilePath, name: string): FilePath {
  if (typeof directory === 'string') return `${directory}${name}`
  return Uint8Array.of(...directory, ...new TextEncoder().encode(name))
}

/** The directories from the root to the one at `path`. The root has no name. */
export function trail(path: FilePath): { name: string; path: FilePath }[] {
  const steps = []
  for (let at = directoryOf(path); ; at = parentOf(at)) {
    steps.unshift({ name: textOf(at.slice(parentOf(at).length, -1)), path: at })
    if (at.length <= 1) return steps
  }
}

/** The name after `above` in a path; `null` if the path does not lead through `above`. */
export function nextName(above: FilePath, path: FilePath): string | null {
  const [start, whole] = [textOf(above), textOf(path)]
  if (!whole.startsWith(start) || whole.length === start.length) return null
  return whole.slice(start.length).split('/')[0] || null
}

export const samePath = (one: FilePath, other: FilePath): boolean =>
  typeof one === typeof other && String(one) === String(other)

/** A path as people read it. */
export const textOf = (path: FilePath): string => (typeof path === 'string' ? path : new TextDecoder().decode(path))

/** Bytes as the address has them. */
export const hexOf = (path: Uint8Array): string => [...path].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** The bytes that the address has; `null` if it has something else there. */
export function bytesOf(hex: string): Uint8Array | null {
  if (!/^([\da-f]{2})+$/i.test(hex)) return null
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
}

function lastSlash(path: FilePath, end: number): number {
  return typeof path === 'string' ? path.lastIndexOf('/', end - 1) : path.subarray(0, end).lastIndexOf(SLASH)
}
