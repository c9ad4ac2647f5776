/**
 * A disk as files of one size, for emulators that fetch a disk from a web server in parts.
 *
 * @packageDocumentation
 */

import { callback, integer, optionsIn, show, text, watchIn, withMethods } from '../base/arguments.js'
import { type Progress, Qcow2Error } from '../index.js'

/** A disk that can be exported: an image, a snapshot, or any object with these. */
export interface ExportedDisk {
  /** The size in bytes. */
  readonly size: number
  /** Reads `length` bytes at `offset`. */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<Uint8Array>
}

/** How {@link exportChunks} exports. */
export interface ExportChunksOptions {
  /** The size of each file in bytes: a multiple of 512, up to 64 MiB. Default: 256 KiB. */
  readonly size?: number | undefined
  /**
   * How the files are named. `v86`: `disk-0-262144.img`, with where each begins and ends, for `{ url: 'disk.img', async: true,
   * size, use_parts: true, fixed_chunk_size }`. `tinyemu`: `blk000000000.bin`, with a `blk.txt` to be given to TinyEMU.
   * Default: `v86`.
   */
  readonly naming?: 'v86' | 'tinyemu' | undefined
  /** For `v86`: the name of the disk, from which the names of the files are made. Default: `disk.img`. */
  readonly name?: string | undefined
  /** The manifest of an earlier export: only the files that differ from it are written. */
  readonly since?: ChunkManifest | undefined
  /** Called with each file, one after another. The bytes are good until what it returns is fulfilled. */
  readonly write: (name: string, bytes: Uint8Array) => void | Promise<void>
  /** Aborts the export: `exportChunks` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called with how many bytes of the disk are done. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** What {@link exportChunks} exported: plain data, to be kept as JSON for the next export. */
export interface ChunkManifest {
  /** The version of this form. */
  readonly version: 1
  /** The size of the disk in bytes. */
  readonly diskSize: number
  /** The size of each file in bytes. */
  readonly chunkSize: number
  /** The SHA-256 of each file, in hexadecimal digits. */
  readonly chunks: readonly string[]
}

const largest = 64 * 1024 * 1024

/**
 * Writes a disk as files of one size; the last one is filled up with zeros.
 *
 * @returns the manifest of all files, written or not.
 * @throws `Qcow2Error` `INVALID_ARGUMENT`, also for an earlier manifest with files of another size; what reading the disk
 * rejects with; what `write` throws; or the signal's reason.
 *
 * @example
 * ```ts
 * const manifest = await exportChunks(image, { write: (name, bytes) => writeFile(name, bytes) })
 * // After changes, only the files that differ:
 * await exportChunks(image, { since: manifest, write: (name, bytes) => writeFile(name, bytes) })
 * ```
 */
export async function exportChunks(disk: ExportedDisk, options: ExportChunksOptions): Promise<ChunkManifest> {
  integer(withMethods(disk, ['read'], 'The disk').size, 'The size of the disk')
  const { size: chunkSize = 256 * 1024, naming = 'v86', since, ...rest } = optionsIn(options)
  const { signal, onProgress } = watchIn(options)
  const name = text(rest.name ?? 'disk.img', 'name')
  const write = callback(rest.write, 'write')
  if (!write) throw invalid('write must be a function.')
  if (!Number.isSafeInteger(chunkSize) || chunkSize <= 0 || chunkSize % 512 !== 0 || chunkSize > largest)
    throw invalid(`size must be a multiple of 512 up to 64 MiB; it is ${show(chunkSize)}.`)
  if (naming === 'tinyemu' && chunkSize % 1024 !== 0) throw invalid('TinyEMU wants files of whole kibibytes.')
  if (naming !== 'v86' && naming !== 'tinyemu')
    throw invalid(`naming must be 'v86' or 'tinyemu'; it is ${show(naming)}.`)
  if (since !== undefined && !Array.isArray(optionsIn(since, 'since').chunks))
    throw invalid('since must be the manifest of an earlier export.')
  if (since && (since.version !== 1 || since.chunkSize !== chunkSize))
    throw invalid(
      `The earlier export has files of ${show(since.chunkSize)} bytes. Give the same size, or no earlier manifest.`,
    )

  const total = disk.size
  const chunks: string[] = []
  for (let at = 0; at < total; at += chunkSize) {
    signal?.throwIfAborted()
    const bytes = await chunkAt(disk, at, chunkSize, signal)
    const hash = await sha256(bytes)
    if (since?.chunks[chunks.length] !== hash) await write(nameOf(naming, name, chunks.length, chunkSize), bytes)
    chunks.push(hash)
    onProgress?.({ done: Math.min(at + chunkSize, total), total })
  }
  if (naming === 'tinyemu' && since?.chunks.length !== chunks.length) {
    const description = `{\n  block_size: ${chunkSize / 1024},\n  n_block: ${chunks.length},\n}\n`
    await write('blk.txt', new TextEncoder().encode(description))
  }
  return { version: 1, diskSize: total, chunkSize, chunks }
}

async function chunkAt(disk: ExportedDisk, at: number, chunkSize: number, signal?: AbortSignal): Promise<Uint8Array> {
  const bytes = await disk.read(at, Math.min(chunkSize, disk.size - at), { signal })
  if (bytes.length === chunkSize) return bytes
  const whole = new Uint8Array(chunkSize)
  whole.set(bytes)
  return whole
}

function nameOf(naming: 'v86' | 'tinyemu', name: string, index: number, chunkSize: number): string {
  if (naming === 'tinyemu') return `blk${String(index).padStart(9, '0')}.bin`
  // As v86 makes them from the URL: the numbers come before the last extension.
  const dot = name.lastIndexOf('.')
  const [base, extension] = dot === -1 ? [name, ''] : [name.slice(0, dot), name.slice(dot)]
  return `${base}${base.endsWith('/') ? '' : '-'}${index * chunkSize}-${(index + 1) * chunkSize}${extension}`
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const { subtle } = crypto
  if (!subtle) throw invalid('Files are compared by SHA-256, which a page has over HTTPS and on localhost alone.')
  const digest = await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function invalid(reason: string): Qcow2Error {
  return new Qcow2Error('INVALID_ARGUMENT', reason)
}
