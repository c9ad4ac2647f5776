/** Fetching a whole file from a server that sends no parts of it, to open the copy. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import { nameOf } from '../engine/source'
import { enterFile } from './enter'
import { forgetWork, type Work, work } from './work'

/** The download that is under way, or why it failed. */
export const downloading = signal<Work | null>(null)

/** Downloads the file at `url`, and opens it. */
export async function downloadAndOpen(url: string): Promise<void> {
  const name = nameOf({ url })
  let file: File | undefined
  await work(downloading, `Downloading ${name}`, async (signal, onProgress) => {
    file = new File([await engine.download(url, onProgress, signal)], name)
  })
  if (file) await enterFile(file)
}

/** What was refused is shown no more; what is under way is given up. */
export const forgetDownload = (): void => forgetWork(downloading)
