/** Images in a folder that was dropped on the page. */

import { signal } from '@preact/signals'
import { enterFile } from './enter'
import { mayLeave } from './leave'
import { toStart } from './stage'

/** A file in the folder, with the path that leads to it from there. */
export interface FoundFile {
  path: string
  file: File
}

/** What the person chooses from, while the dialog is open. */
export const foundImages = signal<{ folder: string; files: FoundFile[] } | null>(null)

/** The endings of files that may be images, also compressed ones. */
const IMAGES = /\.(qcow2?|qcow2c|img|raw|iso|vhd|vhdx|vmdk|vdi|qed)(\.(gz|xz|zst))?$/i

/** A folder with more entries is not searched to its end. */
const MOST = 20_000
const DEEPEST = 12

/** Searches a folder for images. Opens the only one; of several the person chooses. */
export async function enterFolder(folder: FileSystemDirectoryEntry): Promise<void> {
  const files: FoundFile[] = []
  for await (const entry of filesBelow(folder)) {
    if (!IMAGES.test(entry.name)) continue
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject)).catch(() => null)
    if (file) files.push({ path: entry.fullPath.slice(folder.fullPath.length + 1), file })
  }
  if (files.length === 1) return open(files)
  if (files.length > 1) {
    foundImages.value = { folder: folder.name, files: files.sort((one, other) => one.path.localeCompare(other.path)) }
  } else if (await mayLeave()) {
    toStart({
      tone: 'bad',
      text: `The folder ${folder.name} has no images. Drop the file itself if it has another ending.`,
    })
  }
}

/** Opens one of the images that were found. The others are beside it, for it may need them. */
export async function chooseFound(chosen: FoundFile | null): Promise<void> {
  const found = foundImages.peek()
  foundImages.value = null
  if (found && chosen) await open([chosen, ...found.files.filter((each) => each !== chosen)])
}

const open = ([image, ...others]: FoundFile[]): Promise<void> =>
  image ? enterFile(image.file, undefined, [image.file, ...others.map(({ file }) => file)]) : Promise.resolve()

async function* filesBelow(folder: FileSystemDirectoryEntry): AsyncGenerator<FileSystemFileEntry> {
  const waiting = [{ folder, depth: 0 }]
  let seen = 0
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const reader = next.folder.createReader()
    for (;;) {
      // Each call gives some of the entries, and none after the last.
      const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
      if (entries.length === 0) break
      for (const entry of entries) {
        seen += 1
        if (seen > MOST) return
        if (entry.isFile) yield entry as FileSystemFileEntry
        else if (next.depth < DEEPEST)
          waiting.push({ folder: entry as FileSystemDirectoryEntry, depth: next.depth + 1 })
      }
    }
  }
}
