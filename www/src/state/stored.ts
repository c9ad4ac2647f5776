/** The files that the page keeps in the browser's own storage. */

import { signal } from '@preact/signals'
import { type Estimate, estimate, http, type OpfsEntry, opfs, persist } from 'qcow2-web'
import { engine } from '../engine/client'
import { isCompression, kindOf } from '../engine/file-kind'
import { messageOf } from '../engine/message'
import type { Progress } from '../engine/protocol'
import { offer } from './offer'

/** A file or a directory as the list shows it. */
export interface Listed {
  entry: OpfsEntry
  /** How many directories it is in. */
  depth: number
  /** It is an open directory, and its entries follow. */
  open: boolean
}

export interface Stored {
  entries: Listed[]
  /** How much is kept of files on servers, in bytes. */
  cached: number
  /** How much room there is; `null` if the browser doesn't report it. */
  room: Estimate | null
}

/** What is stored; `null` until it was looked at, and where the browser has no such storage. */
export const stored = signal<Stored | null>(null)

/** What is done to it at the moment, and can be cancelled. */
export const storing = signal<{ text: string; done: number; total: number; cancel(): void } | null>(null)

/** Why the last thing was not done. */
export const storedProblem = signal<string | null>(null)

/** By how many bytes a compressed file is known. */
const SIGNATURE = 512

/** The paths of the open directories. */
const openDirectories = new Set<string>()

/** Looks at the storage again. */
export async function lookAtStored(): Promise<void> {
  try {
    const [entries, files, room] = await Promise.all([listed('', 0), http.kept(), estimate()])
    const cached = files.reduce((sum, { size }) => sum + size, 0)
    stored.value = { entries, cached, room: room ?? null }
  } catch {
    stored.value = null
  }
}

/** Opens or closes a directory. */
export async function setOpen({ path }: OpfsEntry, open: boolean): Promise<void> {
  if (open) openDirectories.add(path)
  else openDirectories.delete(path)
  await lookAtStored()
}

async function listed(path: string, depth: number): Promise<Listed[]> {
  const all: Listed[] = []
  for (const entry of await opfs.list(path)) {
    // What an import that was cut short has left is no image.
    if (entry.kind === 'file' && entry.name.endsWith('.part')) continue
    const open = openDirectories.has(entry.path)
    all.push({ entry, depth, open }, ...(open ? await listed(entry.path, depth + 1) : []))
  }
  return all
}

/** Copies a file into the storage. One that is compressed as a whole is decompressed. */
export async function importFile(file: File): Promise<void> {
  const controller = new AbortController()
  const { signal } = controller
  const cancel = () => controller.abort()
  const compressed = await isCompressed(file)
  const report = ({ done, total }: Progress) => {
    storing.value = { text: `${compressed ? 'Decompressing' : 'Storing'} ${file.name}…`, done, total, cancel }
  }
  report({ done: 0, total: file.size })
  await attempt(`${file.name} was not stored`, signal, () =>
    compressed
      ? engine.decompress(file, freeName(decompressedName(file.name)), report, signal)
      : opfs.import(freeName(file.name), file, { signal, onProgress: report }),
  )
}

/** The name of the content of a compressed file. */
export const decompressedName = (name: string): string => name.replace(/(?!^)\.(gz|xz|zst|zstd)$/i, '')

async function isCompressed(file: File): Promise<boolean> {
  const first = new Uint8Array(await file.slice(0, SIGNATURE).arrayBuffer())
  return isCompression(kindOf(first, new Uint8Array(0), file.name))
}

export async function exportFile(path: string): Promise<void> {
  const name = path.slice(path.lastIndexOf('/') + 1)
  await attempt(`${name} could not be downloaded`, null, async () => offer(await opfs.file(path)))
}

/** Gives a file another name in its directory. */
export async function renameFile({ name, path }: OpfsEntry, to: string): Promise<boolean> {
  const directory = path.slice(0, path.length - name.length)
  return attempt(`${name} was not renamed`, null, () => opfs.rename(path, directory + to))
}

/** Deletes a file, or a directory with all that is in it. */
export async function deleteEntry({ name, path }: OpfsEntry): Promise<boolean> {
  return attempt(`${name} was not deleted`, null, () => opfs.delete(path))
}

/** Deletes the cached blocks of files on servers. */
export async function clearCache(): Promise<void> {
  await attempt('The cache was not cleared', null, () => http.forget())
}

/** Asks the browser not to delete stored files when it needs room. */
export async function keep(): Promise<void> {
  await attempt('The browser was not asked', null, async () => {
    if (!(await persist())) {
      throw new Error(
        'it does not promise to keep the files. Browsers do so for pages that are used often, or installed.',
      )
    }
  })
}

/** The handle on the file at a path of the storage, by which it is read and saved. */
export async function storedHandle(path: string, create = false): Promise<FileSystemFileHandle> {
  const names = path.split('/')
  const name = names.pop() ?? ''
  let directory = await navigator.storage.getDirectory()
  for (const each of names) directory = await directory.getDirectoryHandle(each)
  return directory.getFileHandle(name, { create })
}

/** `name`, or one like it that nothing in the storage's root has. */
export function freeName(name: string): string {
  const used = new Set(stored.peek()?.entries.map(({ entry }) => entry.path))
  const [, stem = name, ending = ''] = /^(.+?)(\.[^.]*)?$/.exec(name.replaceAll('/', '-')) ?? []
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? `${stem}${ending}` : `${stem} (${number})${ending}`
    if (!used.has(candidate)) return candidate
  }
}

async function attempt(failure: string, signal: AbortSignal | null, run: () => Promise<void>): Promise<boolean> {
  storedProblem.value = null
  try {
    await run()
    return true
  } catch (error) {
    if (!signal?.aborted) storedProblem.value = `${failure}: ${messageOf(error)}`
    return false
  } finally {
    storing.value = null
    await lookAtStored()
  }
}
