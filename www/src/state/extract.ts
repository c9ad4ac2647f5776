/** Extracting files from a volume: one file as it is, or several files and directories as a zip archive. */

import { signal } from '@preact/signals'
import type { FileEntry, FilePath } from 'qcow2-web/files'
import { engine } from '../engine/client'
import type { VolumeAt } from '../engine/protocol'
import { formatCount, formatSize } from '../values/size'
import { offer } from './offer'
import { forgetWork, type Work, work } from './work'

/** How many files that were left out are named. */
const MOST_NAMED = 3

/** The extraction that is under way, or what came of it. */
export const extracting = signal<Work | null>(null)

/** Gives a file to the browser's downloads. */
export async function extractFile(at: VolumeAt, { name, path }: FileEntry): Promise<void> {
  await work(extracting, `Extracting ${name}`, async (signal, onProgress) => {
    const { blob } = await engine.extractFile(at, path, onProgress, signal)
    offer(new File([blob], name))
    return `${name}, ${formatSize(blob.size)}, goes to your downloads.`
  })
}

/** Gives a zip archive to the browser's downloads. */
export async function extractZip(at: VolumeAt, paths: FilePath[], name: string): Promise<void> {
  const file = `${name}.zip`
  await work(extracting, `Making ${file}`, async (signal, onProgress) => {
    const { blob, skipped } = await engine.zipFiles(at, paths, onProgress, signal)
    offer(new File([blob], file, { type: 'application/zip' }))
    return [`${file}, ${formatSize(blob.size)}, goes to your downloads.`, skippedWords(skipped)]
      .filter(Boolean)
      .join(' ')
  })
}

/** Another image is shown; what is under way is cancelled. */
export const forgetExtraction = (): void => forgetWork(extracting)

function skippedWords(skipped: string[]): string | null {
  if (skipped.length === 0) return null
  const named = skipped.slice(0, MOST_NAMED).join(' ')
  const more = skipped.length > MOST_NAMED ? ` And ${formatCount(skipped.length - MOST_NAMED)} more.` : ''
  return `Left out: ${named}${more}`
}
