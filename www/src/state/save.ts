/** Saving an image: in place, into the file that it came from, into another one, or as a download. Nothing changes it meanwhile. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import { messageOf } from '../engine/message'
import type { Progress } from '../engine/protocol'
import { flushChanges, forgetChanges, forgetSteps } from './edit'
import { offer } from './offer'
import { go, STORED } from './route'
import { inPlace, opened, showAgain, storedPath } from './stage'
import { freeName, lookAtStored, storedHandle } from './stored'

/** What is missing in the DOM's types, and in some browsers. */
type Handle = FileSystemFileHandle & {
  requestPermission?(options: { mode: 'readwrite' }): Promise<PermissionState>
}
export interface Picker {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<Handle>
  showDirectoryPicker?(options: { mode: 'readwrite' }): Promise<FileSystemDirectoryHandle>
}

export interface Saving {
  /** Bytes that were written, of so many. */
  done: number
  total: number
  cancel(): void
}

/** The saving that is under way. */
export const saving = signal<Saving | null>(null)

/** What came of the last one. */
export const saved = signal<{ tone: 'info' | 'bad'; text: string } | null>(null)

/** The file that the image came from, where the browser lets it be written. */
const origin = signal<FileSystemFileHandle | null>(null)

/** Another image is shown, which came from that file. Saving the previous one is cancelled. */
export function setOrigin(handle: FileSystemFileHandle | null): void {
  saving.peek()?.cancel()
  origin.value = handle
  saved.value = null
}

/** True if that is the file that the image came from. */
export const isOrigin = async (handle: FileSystemFileHandle): Promise<boolean> =>
  (await origin.peek()?.isSameEntry(handle)) === true

/** True if this browser can write to files that the person chooses. */
export const canPick = (): boolean => 'showSaveFilePicker' in window

/** Where "Save" leads: into the image's own file, or to a choice, or to a download. */
export const destination = (): 'origin' | 'choice' | 'download' =>
  origin.value ? 'origin' : canPick() ? 'choice' : 'download'

/**
 * Saves the image, in the file that it came from, or where the person chooses. True if it is saved.
 *
 * The file is replaced when all of it is written: cancelled or failing, it is as it was. One that is changed in place has the
 * changes already, and they become durable.
 */
export async function save(): Promise<boolean> {
  if (inPlace.peek()) return attempt(saveInPlace)
  const name = opened.peek()?.name ?? 'disk.qcow2'
  return attempt(async (signal) => {
    // Asked before anything else, for browsers allow it only right after a click.
    const handle =
      (origin.peek() as Handle | null) ?? (await (window as Picker).showSaveFilePicker?.({ suggestedName: name }))
    if (!handle) return downloadNow(signal)
    const permission = await handle.requestPermission?.({ mode: 'readwrite' })
    if (permission === 'denied') throw new Error('the browser was not allowed to change the file.')
    await saveTo(handle, storedPath.peek(), signal)
    return `Saved to ${handle.name}.`
  })
}

/** Saves the image in the browser's storage. */
export async function saveHere(): Promise<boolean> {
  return attempt(async (signal) => {
    await lookAtStored()
    const name = freeName(opened.peek()?.name ?? 'disk.qcow2')
    await saveTo(await storedHandle(name, true), name, signal)
    go({ image: STORED + name })
    return `Kept in this browser as ${name}.`
  })
}

async function saveInPlace(): Promise<string> {
  await flushChanges()
  forgetSteps()
  return `Saved in ${opened.peek()?.name}.`
}

/** Writes the image to a file, which is at `path` if the browser keeps it, and opens the image over it. */
async function saveTo(handle: FileSystemFileHandle, path: string | null, signal: AbortSignal): Promise<void> {
  const { file, image } = await engine.save(signal)
  showAgain(image)
  await writeTo(handle, file, signal)
  // What was read from the old file can no longer be.
  showAgain(await engine.saved(path === null ? await handle.getFile() : { path }))
  origin.value = handle
  forgetChanges()
}

/** Saves the image as a download. An image that is changed in place is copied. */
export const download = (): Promise<boolean> => attempt(downloadNow)

async function downloadNow(signal: AbortSignal): Promise<string> {
  const file = await (inPlace.peek() ? copyInPlace(signal) : saveInMemory(signal))
  offer(file)
  return `${file.name} goes to your downloads.`
}

/** Returns a copy of the file that is changed in place. */
async function copyInPlace(signal: AbortSignal): Promise<File> {
  await flushChanges()
  return engine.copy(report, signal)
}

/** The image with its changes, which are saved by that, for the person has them. */
async function saveInMemory(signal: AbortSignal): Promise<File> {
  const { file, image } = await engine.save(signal)
  showAgain(image)
  signal.throwIfAborted()
  forgetChanges()
  return file
}

async function attempt(run: (signal: AbortSignal) => Promise<string>): Promise<boolean> {
  if (saving.peek()) return false
  const controller = new AbortController()
  saving.value = { done: 0, total: 0, cancel: () => controller.abort() }
  saved.value = null
  try {
    const text = await run(controller.signal)
    saved.value = { tone: 'info', text }
    return true
  } catch (error) {
    // Also where the person closes the chooser.
    const given = controller.signal.aborted || (error instanceof DOMException && error.name === 'AbortError')
    if (!given) saved.value = { tone: 'bad', text: `The image was not saved: ${messageOf(error)}` }
    return false
  } finally {
    saving.value = null
  }
}

async function writeTo(handle: FileSystemFileHandle, file: File, signal: AbortSignal): Promise<void> {
  let done = 0
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk)
      done += chunk.length
      report({ done, total: file.size })
    },
  })
  await file
    .stream()
    .pipeThrough(counted)
    .pipeTo(await handle.createWritable(), { signal })
}

function report({ done, total }: Progress): void {
  if (saving.value) saving.value = { ...saving.value, done, total }
}
