/** The files that the page keeps in the browser's own storage. */

import { signal } from '@preact/signals'
import { type Estimate, estimate, type OpfsEntry, opfs, persist } from 'qcow2-web'
import { messageOf } from './stage'

export interface Stored {
  files: OpfsEntry[]
  /** How much room there is; `null` where the browser doesn't say. */
  room: Estimate | null
}

/** What is stored; `null` until it was looked at, and where the browser has no such storage. */
export const stored = signal<Stored | null>(null)

/** What is done to it at the moment, and can be cancelled. */
export const storing = signal<{ text: string; done: number; total: number; cancel(): void } | null>(null)

/** Why the last thing was not done. */
export const storedProblem = signal<string | null>(null)

/** Looks at the storage again. */
export async function lookAtStored(): Promise<void> {
  try {
    // What an import that was cut short has left is no image.
    const files = (await opfs.list()).filter(({ kind, name }) => kind === 'file' && !name.endsWith('.part'))
    stored.value = { files, room: (await estimate()) ?? null }
  } catch {
    stored.value = null
  }
}

/** Copies a file into the storage. */
export async function importFile(file: File): Promise<void> {
  const controller = new AbortController()
  const cancel = () => controller.abort()
  const tell = (done: number, total: number) => {
    storing.value = { text: `Storing ${file.name}…`, done, total, cancel }
  }
  tell(0, file.size)
  await attempt(`${file.name} was not stored`, controller.signal, () =>
    opfs.import(freeName(file.name), file, {
      signal: controller.signal,
      onProgress: ({ done, total }) => tell(done, total),
    }),
  )
}

export async function exportFile(name: string): Promise<void> {
  await attempt(`${name} could not be downloaded`, null, async () => {
    const url = URL.createObjectURL(await opfs.file(name))
    Object.assign(document.createElement('a'), { href: url, download: name }).click()
    // The download has its own hold on the bytes as soon as it has begun.
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
  })
}

export async function renameFile(from: string, to: string): Promise<boolean> {
  return attempt(`${from} was not renamed`, null, () => opfs.rename(from, to))
}

export async function deleteFile(name: string): Promise<boolean> {
  return attempt(`${name} was not deleted`, null, () => opfs.remove(name))
}

/** Asks the browser not to remove what is stored when it needs room. */
export async function keep(): Promise<void> {
  await attempt('The browser was not asked', null, async () => {
    if (!(await persist())) {
      throw new Error(
        'it does not promise to keep the files. Browsers do so for pages that are used often, or installed.',
      )
    }
  })
}

/** The handle on a file of the storage, by which it is read and saved. */
export async function storedHandle(name: string, create = false): Promise<FileSystemFileHandle> {
  return (await navigator.storage.getDirectory()).getFileHandle(name, { create })
}

/** `name`, or one like it that no file has. */
export function freeName(name: string): string {
  const taken = new Set(stored.peek()?.files.map((file) => file.name))
  const [, stem = name, ending = ''] = /^(.+?)(\.[^.]*)?$/.exec(name.replaceAll('/', '-')) ?? []
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? `${stem}${ending}` : `${stem} (${number})${ending}`
    if (!taken.has(candidate)) return candidate
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
