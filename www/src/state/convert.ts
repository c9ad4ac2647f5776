/** Making another image, or a raw file, of the disk that is shown. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import type { Conversion } from '../engine/protocol'
import { formatSize } from '../values/size'
import { disk, shown } from './stage'
import { freeName, lookAtStored, storedHandle } from './stored'
import { forgetWork, type Work, work } from './work'

/** True while the person is asked what to make, or sees it being made. */
export const asksToConvert = signal(false)

/** The conversion that is under way, or what came of it. */
export const converting = signal<Work | null>(null)

/** The name of what was made, which the browser keeps. */
export const converted = signal<string | null>(null)

/** What a disk can be converted to, with what ends its name. */
export const CONVERSIONS: Record<string, Conversion & { label: string; ending: string }> = {
  zstd: {
    label: 'qcow2, compressed by zstd',
    ending: '.qcow2',
    format: 'qcow2',
    compressed: true,
    compression: 'zstd',
  },
  deflate: {
    label: 'qcow2, compressed by deflate, for QEMU before 5.1 too',
    ending: '.qcow2',
    format: 'qcow2',
    compressed: true,
    compression: 'zlib',
  },
  plain: { label: 'qcow2, not compressed', ending: '.qcow2', format: 'qcow2' },
  raw: { label: 'raw: the bytes of the disk', ending: '.raw', format: 'raw' },
}

/** What is done about a disk of which not all can be read. */
export type Damage = Pick<Conversion, 'acceptMissing' | 'salvage'>

/** Converts the disk that is shown into a file of the browser's storage. */
export async function convert(name: string, damage: Damage): Promise<void> {
  const [file, source, conversion] = [shown.peek(), disk.peek(), CONVERSIONS[name]]
  if (!file || !source || !conversion) return
  const { label: _, ending, ...how } = conversion
  await work(converting, 'Converting', async (signal, onProgress) => {
    await lookAtStored()
    const path = freeName(file.name.replace(/(\.[^.]*)?$/, ending))
    const unreadable = await engine.convert(source.snapshot, path, { ...how, ...damage }, onProgress, signal)
    converted.value = path
    const { size } = await (await storedHandle(path)).getFile()
    const lost = unreadable > 0 ? ` ${formatSize(unreadable)} could not be read, and are zeros in it.` : ''
    return `Kept in this browser as ${path}, ${formatSize(size)}.${lost}`
  })
}

/** Begins to ask. */
export function askToConvert(): void {
  converting.value = null
  converted.value = null
  asksToConvert.value = true
}

/** Asks no more; what is under way is given up. */
export function forgetConversion(): void {
  forgetWork(converting)
  asksToConvert.value = false
}
