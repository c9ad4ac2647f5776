/** Coming to an image and leaving it. */

import { engine } from '../engine/client'
import type { NewImage } from '../engine/protocol'
import { forgetFilesChange } from './change-files'
import { forgetCheck } from './check'
import { forgetConversion } from './convert'
import { forgetCopyUp } from './copy-up'
import { forgetChanges, unsaved } from './edit'
import { forgetExtraction } from './extract'
import { forgetHashes } from './hashes'
import { forgetKeySlotWork } from './key-slots'
import { mayLeave } from './leave'
import { STORED } from './route'
import { setOrigin } from './save'
import { endSearch } from './search'
import { forgetSnapshotWork } from './snapshots'
import { closeImage, createImage, openSample, openSource, type StartNotice } from './stage'
import { storedHandle } from './stored'
import { forgetVolumeUnlocking } from './unlock-volume'

/** Opens `file`. With a `handle` on it, it can be saved there. Files `beside` it are used if images name them. */
export async function enterFile(
  file: File,
  handle?: Promise<FileSystemHandle | null>,
  beside: File[] = [],
): Promise<void> {
  // The browser gives it only while it handles the event.
  const origin = await handle?.catch(() => null)
  if (!(await mayLeave()) || !(await openSource(file, null, { beside }))) return
  // By its kind: not every browser has the class.
  begin(origin?.kind === 'file' ? (origin as FileSystemFileHandle) : null)
}

/** Opens the file, of several, to which the others belong. */
export async function enterFiles(
  files: readonly File[],
  handles: readonly (Promise<FileSystemHandle | null> | undefined)[],
): Promise<void> {
  const top = files.length > 1 ? await engine.topOf([...files]) : 0
  const file = files[top]
  if (file) await enterFile(file, handles[top], [...files])
}

/** Opens the image at `url`, in parts. */
export async function enterUrl(url: string): Promise<void> {
  if ((await mayLeave()) && (await openSource({ url }, url))) begin(null)
}

/** Opens an image that the browser keeps. */
export async function enterStored(path: string): Promise<void> {
  if (!(await mayLeave()) || !(await openSource({ path }, STORED + path))) return
  begin(await storedHandle(path).catch(() => null))
}

/** Opens the image that the address of the page names. */
export async function enterAddressed(address: string): Promise<void> {
  if (address === 'sample') await enterSample()
  else if (address.startsWith(STORED)) await enterStored(address.slice(STORED.length))
  else if (/^https?:\/\//i.test(address) && URL.canParse(address)) await enterUrl(address)
}

/** Opens the sample. */
export async function enterSample(): Promise<void> {
  if ((await mayLeave()) && (await openSample())) begin(null)
}

/** Makes an image and shows it. Rejects with the reason why it can't be made. */
export async function enterNew(image: NewImage): Promise<void> {
  if (!(await mayLeave())) return
  await createImage(image)
  begin(null)
  // No file has it yet.
  unsaved.value = true
}

/** Closes the image. */
export async function leave(): Promise<void> {
  if (!(await mayLeave())) return
  await closeImage()
  begin(null)
}

/** Closes the image without a question; the start shows why. */
export async function letGo(notice: StartNotice): Promise<void> {
  await closeImage(notice)
  begin(null)
}

function begin(origin: FileSystemFileHandle | null): void {
  forgetChanges()
  forgetCheck()
  forgetSnapshotWork()
  forgetCopyUp()
  forgetConversion()
  forgetExtraction()
  forgetFilesChange()
  forgetVolumeUnlocking()
  forgetKeySlotWork()
  forgetHashes()
  endSearch()
  setOrigin(origin)
}
