/** Getting at an image that cannot be read where it is: from a server that sends no parts of it, or from a compressed file. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import { nameOf, type Source } from '../engine/source'
import { enterFile, enterStored } from './enter'
import { decompressedName, freeName, lookAtStored } from './stored'
import { forgetWork, type Work, work } from './work'

/** The download or the decompression that is under way, or why it failed. */
export const downloading = signal<Work | null>(null)

/** Downloads the file at `url`, and opens it. */
export async function downloadAndOpen(url: string): Promise<void> {
  const name = nameOf({ url })
  let file: File | undefined
  await work(downloading, `Downloading ${name}`, async (signal, onProgress) => {
    file = new File([await engine.download({ url }, onProgress, signal)], name)
  })
  if (file) await enterFile(file)
}

/** Decompresses a file into the browser's storage, and opens what was in it. */
export async function decompressAndOpen(source: Source): Promise<void> {
  const name = nameOf(source)
  let path = ''
  const done = await work(downloading, `Decompressing ${name}`, async (signal, onProgress) => {
    await lookAtStored()
    path = freeName(decompressedName(name))
    await engine.decompress(source, path, onProgress, signal)
  })
  if (done) await enterStored(path)
}

/** The refused file is no longer shown. What is under way is cancelled. */
export const forgetDownload = (): void => forgetWork(downloading)
