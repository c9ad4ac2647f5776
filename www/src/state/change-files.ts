/** Changing the files of a FAT volume: adding, replacing and deleting them, and creating folders. */

import { signal } from '@preact/signals'
import type { FileEntry, FilePath } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { FilesChange, Progress, VolumeAt } from '../engine/protocol'
import { inDirectory } from '../files/path'
import { formatCount } from '../values/size'
import { noteFilesChange } from './edit'
import { inPlace } from './stage'
import { forgetWork, type Work, work } from './work'

export type FilesQuestion =
  | { kind: 'folder'; at: VolumeAt; directory: FilePath }
  | { kind: 'delete'; at: VolumeAt; entries: FileEntry[] }
  | { kind: 'replace'; names: string[]; answer(replace: boolean): void }

/** The question that is open. */
export const askedOfFiles = signal<FilesQuestion | null>(null)

/** The change that is under way, or what came of it. */
export const changingFiles = signal<Work | null>(null)

/**
 * Adds files to a directory. Asks before it replaces any. `folders` are the names of those that were dropped with the files, which
 * are refused. Returns the name of the last file that was added.
 */
export async function addFiles(
  at: VolumeAt,
  directory: FilePath,
  files: File[],
  folders: readonly string[] = [],
): Promise<string | null> {
  const what = files.length === 1 ? (files[0]?.name ?? '') : `${formatCount(files.length)} files`
  const added: string[] = []
  await work(changingFiles, `Adding ${what}`, async (signal, onProgress) => {
    const [folder] = folders
    if (folder !== undefined) throw new Error(`${folder} is a folder. Create it here, and add its files.`)
    const present: FileEntry[] = []
    await engine.listFiles(at, directory, (entries) => void present.push(...entries), signal)
    if (!(await mayReplace(present, files, signal))) return
    const total = files.reduce((sum, { size }) => sum + size, 0)
    let before = 0
    for (const file of files) {
      const change: FilesChange = { kind: 'write', path: inDirectory(directory, file.name), content: file }
      const onFile = ({ done }: Progress) => onProgress({ done: before + done, total })
      await carryOut(at, change, onFile, signal).catch((error) => {
        if (added.length === 0 || signal.aborted) throw error
        throw new Error(`${file.name}: ${error.message} Added before that: ${added.join(', ')}.`)
      })
      before += file.size
      added.push(file.name)
    }
    return outcome(`${what} ${files.length === 1 ? 'was' : 'were'} added.`)
  })
  return added.at(-1) ?? null
}

/** Creates a folder. Returns whether it was created. */
export const createFolder = (at: VolumeAt, directory: FilePath, name: string): Promise<boolean> =>
  work(changingFiles, `Creating ${name}`, async (signal) => {
    await carryOut(at, { kind: 'createDirectory', path: inDirectory(directory, name) }, () => {}, signal)
    return outcome(`The folder ${name} was created.`)
  })

/** Deletes entries, folders with all that is in them. */
export async function deleteFiles(at: VolumeAt, entries: readonly FileEntry[]): Promise<void> {
  const [first] = entries
  const what = entries.length === 1 && first ? first.name : `${formatCount(entries.length)} entries`
  await work(changingFiles, `Deleting ${what}`, async (signal) => {
    await carryOut(at, { kind: 'delete', paths: entries.map(({ path }) => path) }, () => {}, signal)
    return outcome(`${what} ${entries.length === 1 ? 'was' : 'were'} deleted.`)
  })
}

/** Another image is shown. What is under way is cancelled. */
export function forgetFilesChange(): void {
  forgetWork(changingFiles)
  askedOfFiles.value = null
}

async function carryOut(
  { volume }: VolumeAt,
  change: FilesChange,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  noteFilesChange(volume, await engine.changeFiles(volume, change, onProgress, signal))
}

const outcome = (done: string): string => (inPlace.peek() ? done : `${done} Save the image to keep that.`)

/** Asks the person if a file has the name of an entry. FAT does not distinguish capitals. */
async function mayReplace(
  present: readonly FileEntry[],
  files: readonly File[],
  signal: AbortSignal,
): Promise<boolean> {
  const names = new Map(files.map(({ name }) => [name.toLowerCase(), name]))
  if (names.size < files.length) throw new Error('Two of the files have the same name.')
  const existing = present.filter(({ name }) => names.has(name.toLowerCase()))
  const folder = existing.find(({ kind }) => kind !== 'file')
  if (folder)
    throw new Error(`There is a folder named ${folder.name} here. Rename the file, or delete the folder first.`)
  if (existing.length === 0) return true
  return new Promise((resolve) => {
    const answer = (replace: boolean) => {
      askedOfFiles.value = null
      resolve(replace)
    }
    signal.addEventListener('abort', () => answer(false), { once: true })
    askedOfFiles.value = { kind: 'replace', names: existing.map(({ name }) => name), answer }
  })
}
