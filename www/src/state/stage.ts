/** What the page shows: the start screen, an image that can't be opened, or one that is. */

import { computed, signal } from '@preact/signals'
import { engine, fileChanged, permit } from '../engine/client'
import { messageOf } from '../engine/message'
import type {
  Ask,
  Disk,
  Missing,
  MissingAnswer,
  NewImage,
  OpenedImage,
  OpenedRaw,
  OpenHow,
  OpenOutcome,
} from '../engine/protocol'
import { nameOf, type Source } from '../engine/source'
import { go, route, START } from './route'

export type Refused = Extract<OpenOutcome, { kind: 'refused' }>

export type Stage =
  | { kind: 'start'; notice: StartNotice | null }
  | { kind: 'refused'; refused: Refused; source: Source; retry(): void; openRaw(): void }
  | { kind: 'raw'; raw: OpenedRaw; visit: number }
  /** `visit` counts the images that were shown. Opening the same one again does not change it. */
  | { kind: 'viewer'; image: OpenedImage; visit: number }

/** Why the start is shown. */
export interface StartNotice {
  tone: 'info' | 'bad'
  text: string
}

let visits = 0

export const stage = signal<Stage>({ kind: 'start', notice: null })

export interface Opening {
  name: string
  cancel(): void
}

/** The image that is being opened; until it is, the page shows what it showed. */
export const opening = signal<Opening | null>(null)

/** The disk that the panels show: the active one, or a snapshot's. */
export const disk = signal<Disk | null>(null)

/** Why a snapshot could not be opened, until another is chosen. */
export const diskProblem = signal<string | null>(null)

export interface Question<M extends Missing = Missing> {
  missing: M
  answer(answer: MissingAnswer): void
}

/** The dialog that asks for a file or a passphrase, while it is open. */
export const question = signal<Question | null>(null)

/** What was opened, with what names it in the address; `null` for a new image, which no file has yet. */
export const origin = signal<{ source: Source; address: string | null } | null>(null)

export const opened = computed(() => (stage.value.kind === 'viewer' ? stage.value.image : null))

/** What is shown, an image or a raw disk; `null` where neither is. */
export const shown = computed<{ name: string; generation: number } | null>(() => {
  const now = stage.value
  return now.kind === 'raw' ? now.raw : opened.value
})

/** Where the browser keeps the file that is shown, if it does. */
export const storedPath = computed(() => {
  const now = stage.value
  return now.kind === 'viewer' ? now.image.stored : now.kind === 'refused' ? now.refused.stored : null
})

/** True if changes of the image go into its file in the browser's storage. */
export const inPlace = computed(() => opened.value?.editing === 'file')

/**
 * Opens an image; asks for what it needs beside it. `address` is what opens it again, as in the route. False if the page shows
 * what it showed before.
 */
export async function openSource(
  source: Source,
  address: string | null = null,
  how: Partial<OpenHow> = {},
): Promise<boolean> {
  opening.peek()?.cancel()
  const controller = new AbortController()
  const name = nameOf(source)
  const attempt: Opening = { name, cancel: () => controller.abort() }
  opening.value = attempt
  if (stage.peek().kind === 'start') toStart(null)

  try {
    return show(
      await engine.open(source, { asRaw: false, beside: [], ...how }, askPerson(controller.signal), controller.signal),
      source,
      address,
    )
  } catch (error) {
    if (controller.signal.aborted) return false
    toStart({ tone: 'bad', text: `${name} could not be opened: ${messageOf(error)}` })
    return true
  } finally {
    if (opening.peek() === attempt) opening.value = null
  }
}

/** Asks the person for a file or a passphrase, until `signal` aborts. */
function askPerson(signal: AbortSignal | null): Ask {
  return async (missing) => {
    const answer = await new Promise<MissingAnswer>((resolve) => {
      const answer = (given: MissingAnswer) => {
        question.value = null
        resolve(given)
      }
      signal?.addEventListener('abort', () => answer({ kind: 'cancel' }), { once: true })
      question.value = { missing, answer }
    })
    if (answer.kind === 'file') await permit(answer.file)
    return answer
  }
}

function show(outcome: OpenOutcome, source: Source, address: string | null): boolean {
  if (outcome.kind === 'cancelled') return false
  if (outcome.kind === 'refused') {
    disk.value = null
    stage.value = {
      kind: 'refused',
      refused: outcome,
      source,
      retry: () => void openSource(source, address),
      openRaw: () => void openSource(source, address, { asRaw: true }),
    }
    return true
  }
  if (outcome.kind === 'raw') {
    const { raw } = outcome
    if (shown.peek()) go({ ...START, image: address })
    else go({ image: address, snapshot: null })
    fileChanged.value = false
    origin.value = null
    disk.value = raw.disk
    stage.value = { kind: 'raw', raw, visit: ++visits }
    return true
  }
  // A first image is shown where the address leads. A second one begins at its own start.
  const { image } = outcome
  const known = image.snapshots.some((snapshot) => snapshot.id === route.peek().snapshot)
  if (shown.peek()) go({ ...START, image: address })
  else go({ image: address, ...(!known && { snapshot: null }) })
  fileChanged.value = false
  origin.value = { source, address }
  disk.value = image.disk
  stage.value = { kind: 'viewer', image, visit: ++visits }
  return true
}

/** Shows the same image again, after it was opened in another way. Where the person is stays. */
export function showAgain(image: OpenedImage): void {
  if (route.peek().snapshot !== null) go({ snapshot: null })
  const now = stage.peek()
  fileChanged.value = false
  disk.value = image.disk
  stage.value = { kind: 'viewer', image, visit: now.kind === 'viewer' ? now.visit : ++visits }
}

/** Makes an image, and shows it. Rejects with the reason why it can't be made. */
export async function createImage(image: NewImage): Promise<void> {
  const made = await engine.create(image, askPerson(null))
  if (shown.peek()) go(START)
  origin.value = null
  disk.value = made.disk
  stage.value = { kind: 'viewer', image: made, visit: ++visits }
}

/** Shows the start, with the reason. */
export function toStart(notice: StartNotice | null): void {
  stage.value = { kind: 'start', notice }
}

/** Opens the sample that is served with the page. */
export async function openSample(): Promise<boolean> {
  try {
    const response = await fetch('./sample.qcow2')
    if (!response.ok) throw new Error(`the server answered ${response.status}`)
    return await openSource(new File([await response.blob()], 'sample.qcow2'), 'sample')
  } catch (error) {
    toStart({ tone: 'bad', text: `The sample could not be loaded: ${messageOf(error)}` })
    return true
  }
}

/** Closes the image; the start shows the reason in `notice`. */
export async function closeImage(notice: StartNotice | null = null): Promise<void> {
  await engine.close()
  disk.value = null
  diskProblem.value = null
  go(START, 'push')
  toStart(notice)
}

/** Makes the panels show the snapshot that the route names. */
export async function followSnapshot(snapshot: string | null): Promise<void> {
  const image = opened.peek()
  if (!image || disk.peek()?.snapshot === snapshot) return
  diskProblem.value = null
  if (snapshot === null) {
    disk.value = image.disk
    return
  }
  try {
    const next = await engine.openDisk(snapshot)
    if (route.peek().snapshot === snapshot && opened.peek() === image) disk.value = next
  } catch (error) {
    if (route.peek().snapshot !== snapshot) return
    const name = image.snapshots.find((candidate) => candidate.id === snapshot)?.name ?? snapshot
    diskProblem.value = `The snapshot "${name}" could not be opened: ${messageOf(error)}`
    go({ snapshot: disk.peek()?.snapshot ?? null })
  }
}
