/** Making other images, or raw files, of the disk that is shown. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import type { Conversion, ConversionTarget, Part, Progress } from '../engine/protocol'
import { formatCount, formatSize } from '../values/size'
import { isOrigin, type Picker } from './save'
import { disk, shown } from './stage'
import { freeName, lookAtStored, storedHandle } from './stored'
import { forgetWork, type Work, work } from './work'

/** True while the person is asked what to make, or sees it being made. */
export const asksToConvert = signal(false)

/** The conversion that is under way, or what came of it. */
export const converting = signal<Work | null>(null)

/** The names of what was made, which the browser keeps. */
export const converted = signal<readonly string[]>([])

/** True once something was made. */
export const isConverted = signal(false)

/** What a disk can be converted to, with what ends its name. */
export const CONVERSIONS = {
  zstd: {
    label: 'qcow2, compressed by zstd',
    ending: '.qcow2',
    how: { format: 'qcow2', compressed: true, compression: 'zstd' },
  },
  deflate: {
    label: 'qcow2, compressed by zlib, for QEMU before 5.1 too',
    ending: '.qcow2',
    how: { format: 'qcow2', compressed: true, compression: 'zlib' },
  },
  plain: { label: 'qcow2, not compressed', ending: '.qcow2', how: { format: 'qcow2' } },
  raw: { label: 'raw: the bytes of the disk', ending: '.raw', how: { format: 'raw' } },
} satisfies Record<string, { label: string; ending: string; how: Conversion }>
export type ConversionName = keyof typeof CONVERSIONS

/** What is done about a disk of which not all can be read. */
export type Damage = Pick<Conversion, 'acceptMissing' | 'salvage'>

export interface Plan {
  name: ConversionName
  part: Part
  /** The length of the part in each of several files; `null` for one file. */
  chunk: number | null
  /** To files that the person chooses, or to those that the browser keeps. */
  into: 'chosen' | 'browser'
  damage: Damage
}

/** More files are not made. */
export const MOST_CHUNKS = 1000

/** The parts that go into a file each. */
export function chunksOf({ start, end }: Part, chunk: number | null): Part[] {
  const length = chunk ?? Math.max(1, end - start)
  const count = Math.max(1, Math.ceil((end - start) / length))
  return Array.from({ length: count }, (_, index) => {
    const from = start + index * length
    return { start: from, end: Math.min(end, from + length) }
  })
}

/** Converts the disk that is shown, or a part of it. */
export async function convert(plan: Plan): Promise<void> {
  const [file, source] = [shown.peek(), disk.peek()]
  if (!file || !source) return
  const { ending, how } = CONVERSIONS[plan.name]
  const chunks = chunksOf(plan.part, plan.chunk)
  const stem = file.name.replace(/\.[^.]*$/, '')
  const names = chunks.map((_, index) =>
    chunks.length === 1 ? `${stem}${ending}` : `${stem}.${String(index).padStart(3, '0')}${ending}`,
  )
  let targets: Targets | null
  try {
    // Asked before anything else, for browsers allow it only right after a click.
    targets = plan.into === 'chosen' ? await chosenTargets(names) : await storedTargets(names)
  } catch (error) {
    // The person has closed the chooser.
    if (error instanceof DOMException && error.name === 'AbortError') return
    converting.value = { problem: `Nothing was converted: ${error instanceof Error ? error.message : error}` }
    return
  }
  const { targetOf, outcome } = targets
  await work(converting, 'Converting', async (signal, onProgress) => {
    let unreadable = 0
    let done = 0
    const total = plan.part.end - plan.part.start
    for (const [index, { start, end }] of chunks.entries()) {
      const options: Conversion = { ...how, ...plan.damage, range: { offset: start, length: end - start } }
      const target = await targetOf(index)
      const report = (progress: Progress) => {
        onProgress({ done: done + ((end - start) * progress.done) / Math.max(1, progress.total), total })
      }
      unreadable += await engine.convert(source.snapshot, target, options, report, signal)
      done += end - start
    }
    isConverted.value = true
    const lost = unreadable > 0 ? ` ${formatSize(unreadable)} could not be read, and are zeros in it.` : ''
    return `${await outcome()}${lost}`
  })
}

interface Targets {
  targetOf(index: number): Promise<ConversionTarget>
  /** What was made, as a sentence. */
  outcome(): Promise<string>
}

async function chosenTargets(names: string[]): Promise<Targets> {
  const picker = window as Picker
  const [name = ''] = names
  if (names.length === 1) {
    const handle = await picker.showSaveFilePicker?.({ suggestedName: name })
    if (!handle) throw new Error('this browser has no chooser for files.')
    if (await isOrigin(handle)) throw new Error('this is the file that is read. Choose another name.')
    return {
      targetOf: async () => ({ handle }),
      outcome: async () => `Saved to ${handle.name}, ${formatSize((await handle.getFile()).size)}.`,
    }
  }
  const directory = await picker.showDirectoryPicker?.({ mode: 'readwrite' })
  if (!directory) throw new Error('this browser has no chooser for folders.')
  return {
    targetOf: async (index) => ({ handle: await directory.getFileHandle(names[index] ?? '', { create: true }) }),
    outcome: async () => `Saved ${formatCount(names.length)} files to ${directory.name}, from ${name} on.`,
  }
}

async function storedTargets(names: string[]): Promise<Targets> {
  await lookAtStored()
  const paths = names.map(freeName)
  const [first = ''] = paths
  return {
    targetOf: async (index) => ({ path: paths[index] ?? '' }),
    outcome: async () => {
      converted.value = paths
      const kept = `Kept in this browser as ${first}`
      if (paths.length > 1) return `${kept} and ${formatCount(paths.length - 1)} more.`
      return `${kept}, ${formatSize((await (await storedHandle(first)).getFile()).size)}.`
    },
  }
}

/** Begins to ask. */
export function askToConvert(): void {
  converting.value = null
  forgetOutcome()
  asksToConvert.value = true
}

/** Something else is to be made. */
export function forgetOutcome(): void {
  converted.value = []
  isConverted.value = false
}

/** Asks no more; what is under way is cancelled. */
export function forgetConversion(): void {
  forgetWork(converting)
  asksToConvert.value = false
}
