/** Hashes of a disk, a partition, a file or a selection. */

import { signal } from '@preact/signals'
import { engine } from '../engine/client'
import type { Hashable, Hashes, HashName } from '../engine/protocol'
import { forgetWork, type Work, work } from './work'

/** Something that can be hashed, as the person is offered it. */
export interface HashChoice {
  label: string
  size: number
  hashed: Hashable
}

/** What the dialog offers, while it is open. */
export const hashChoices = signal<HashChoice[] | null>(null)

/** The hashing that is under way, or why it failed. */
export const hashing = signal<Work | null>(null)

/** What came of it. */
export const hashes = signal<Hashes | null>(null)

export function askToHash(choices: HashChoice[]): void {
  hashes.value = null
  hashing.value = null
  hashChoices.value = choices
}

export async function hash({ label, hashed }: HashChoice, names: HashName[]): Promise<void> {
  hashes.value = null
  await work(hashing, `Hashing ${label}`, async (signal, onProgress) => {
    hashes.value = await engine.hash(hashed, names, onProgress, signal)
  })
}

/** Closes the dialog; what is under way is cancelled. */
export function forgetHashes(): void {
  forgetWork(hashing)
  hashChoices.value = null
}
